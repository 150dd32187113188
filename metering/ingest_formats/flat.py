"""One flat JSON object an event: what a line of NDJSON is, where it is not a CloudEvent. Pure."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from metering.ingest_formats import cloudevents, strict
from metering.ingest_formats.reported import BadEvent, Malformed, ReportedUsage, Statement, reported


class FlatEvent(Statement, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A statement and who made it."""

    id: str
    source: str
    time: Annotated[datetime, Meta(tz=True)] | None = None


_decoder = msgspec.json.Decoder(FlatEvent)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def flat(raw: bytes, tenant: str) -> ReportedUsage:
    """One event. Raises BadEvent."""
    event = strict.decoded(_decoder, raw)
    return reported(event.source, event.id, event.time, event, tenant=tenant)


def amendment(raw: bytes, tenant: str, amends: str) -> ReportedUsage:
    """One event that says what is right instead of the one of that id. Raises BadEvent."""
    event = strict.decoded(_decoder, raw)
    if event.amends not in (None, amends):
        raise BadEvent("amends", "The address names another event.")
    statement = msgspec.structs.replace(event, amends=amends)
    return reported(event.source, event.id, event.time, statement, tenant=tenant)


def line(raw: bytes, tenant: str) -> ReportedUsage:
    """One line of NDJSON: a CloudEvent where it says so, else a flat object. Raises BadEvent."""
    return cloudevents.structured(raw, tenant) if _is_cloud_event(raw) else flat(raw, tenant)


def lines(body: bytes) -> list[bytes]:
    """The lines of a body that are not blank. Raises Malformed."""
    if body.startswith(b"\xef\xbb\xbf"):
        raise Malformed("The body begins with a byte order mark.")
    return [found for found in body.split(b"\n") if found.strip()]


def _is_cloud_event(raw: bytes) -> bool:
    if b"specversion" not in raw:
        return False
    try:
        return "specversion" in _members.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
