"""Records of a journal as lines of JSON, for people and their tools. Pure."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from msgspec.structs import asdict

from metering.records import Carried, Closed, Opened, Record

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def line(sequence: int, record: Record) -> str:
    """One record. Ids are UUIDs, times ISO 8601 in UTC, usage is by unit, and the upstream's words are as it said them.

    Words that are no JSON are in base64 under `unreadable_base64`. What was not reported is absent, never 0.
    """
    match record:
        case Opened():
            told: dict[str, object] = {"sequence": sequence, "kind": "opened", **_opened(record)}
        case Closed():
            told = {"sequence": sequence, "kind": "closed", **_closed(record)}
        case Carried(opened=carried):
            told = {"sequence": sequence, "kind": "carried", "opened": [_opened(opened) for opened in carried]}
    return msgspec.json.encode(told).decode()


def _opened(opened: Opened) -> dict[str, object]:
    members = asdict(opened)
    del members["opened_at_us"]
    return members | {"event_id": str(UUID(bytes=opened.event_id)), "opened_at": _time(opened.opened_at_us)}


def _closed(closed: Closed) -> dict[str, object]:
    told: dict[str, object] = _opened(closed.opened) | {
        "closed_at": _time(closed.closed_at_us),
        "first_byte_at": None if closed.first_byte_at_us is None else _time(closed.first_byte_at_us),
        "outcome": closed.outcome,
        "usage_source": closed.usage_source,
        "billed": closed.billed,
        "grade": closed.grade,
        "usage": closed.usage.units(),
        "upstream_status": closed.upstream_status,
    }
    if closed.upstream_usage is not None:
        told["upstream_usage"] = _words(closed.upstream_usage)
    return {name: value for name, value in told.items() if value is not None}


def _words(words: bytes) -> msgspec.Raw | dict[str, bytes]:
    try:
        compact = msgspec.json.format(words, indent=-1)
        msgspec.json.decode(compact)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {"unreadable_base64": words}
    return msgspec.Raw(compact)


def _time(at_us: int) -> str:
    return (EPOCH + timedelta(microseconds=at_us)).isoformat().replace("+00:00", "Z")
