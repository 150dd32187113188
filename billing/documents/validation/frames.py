"""What the validating process and those who ask it say to each other: four bytes of length, then msgpack. Pure."""

import msgspec

LENGTH_BYTES = 4
FRAME_BYTES_MAX = 64 * 1024 * 1024


class Question(msgspec.Struct, frozen=True, array_like=True):
    """Is this XML valid? `syntax` is one of `billing.documents.einvoice.Syntax`."""

    syntax: str
    xml: bytes


class Verdict(msgspec.Struct, frozen=True, array_like=True):
    """`faults` are what the document breaks, none if it is valid; `rules_met` is how often a rule found its place.

    `failure` is why the document could not be validated at all.
    """

    faults: list[str] = []
    rules_met: int = 0
    validated_with: str = ""
    failure: str = ""


def framed(message: Question | Verdict) -> bytes:
    payload = msgspec.msgpack.encode(message)
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload
