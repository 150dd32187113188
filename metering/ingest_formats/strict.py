"""JSON that says everything once: msgspec takes the last of two members of one name, and the first was meant. Pure.

Measured: Python's own parser with a hook for each object takes 4 us for an event. A scan for what might be a second
member took 1 us, and has to parse again wherever a text looks like one.
"""

import json
from typing import Any

import msgspec

from metering.ingest_formats.reported import BadEvent, Malformed, described

Raws = list[msgspec.Raw]


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    said = dict(members)
    if len(said) != len(members):
        names = [name for name, _ in members]
        twice = next(name for name in said if names.count(name) > 1)
        raise BadEvent(twice, "This member is there twice.")
    return said


_decoder = json.JSONDecoder(object_pairs_hook=_once)
_raws = msgspec.json.Decoder(Raws)


def check_members(raw: bytes) -> None:
    """Raise BadEvent where an object within has two members of one name, or where this is no JSON at all."""
    try:
        _decoder.decode(raw.decode())
    except BadEvent:
        raise
    except (ValueError, RecursionError) as problem:
        raise BadEvent("", f"This is not JSON: {problem}") from problem


def decoded(decoder: "msgspec.json.Decoder[Any]", raw: bytes) -> Any:
    """What the decoder makes of one event. Raises BadEvent, with the place."""
    try:
        found = decoder.decode(raw)
    except (msgspec.ValidationError, msgspec.DecodeError) as problem:
        raise described(problem) from problem
    except (UnicodeDecodeError, RecursionError) as problem:
        raise BadEvent("", f"This is not JSON: {problem}") from problem
    check_members(raw)
    return found


def array(body: bytes) -> list[bytes]:
    """The elements of a JSON array, each as its own bytes. Raises Malformed."""
    try:
        return [bytes(element) for element in _raws.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Malformed(f"The body is not a JSON array: {problem}") from problem


def called(raw: bytes) -> str | None:
    """The id that an event gives itself, however wrong the rest of it is."""
    try:
        said = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    found = said.get("id") if isinstance(said, dict) else None
    return found if isinstance(found, str) else None
