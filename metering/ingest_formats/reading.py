"""Finds the reader for a call by its headers. Pure."""

from collections.abc import Callable, Mapping

from metering.ingest_formats import cloudevents, flat, otel, strict
from metering.ingest_formats.reported import (
    BadEvent,
    Reading,
    Refusal,
    ReportedUsage,
    TooManyEvents,
    UnknownFormat,
    shortened,
)

# Content type: how a body becomes the bytes of its events, and how one of them is read.
FORMATS: dict[str, tuple[Callable[[bytes], list[bytes]], Callable[[bytes, str], ReportedUsage]]] = {
    "application/cloudevents+json": (lambda body: [body], cloudevents.structured),
    "application/cloudevents-batch+json": (strict.array, cloudevents.structured),
    "application/x-ndjson": (flat.lines, flat.line),
    "application/jsonl": (flat.lines, flat.line),
}
OTLP = "application/json"


def read(body: bytes, content_type: str, headers: Mapping[str, str], *, tenant: str, events_max: int) -> Reading:
    """What a call reports. `headers` has at least those that begin with ce-; `tenant` is the slug of the caller's.

    Raises Malformed, TooManyEvents and UnknownFormat; what is wrong with single events is in the reading.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if any(name.lower() == "ce-specversion" for name in headers):
        if kind not in cloudevents.JSON:
            raise UnknownFormat("The data of a binary CloudEvent of usage is application/json.")
        return _read_each([body], lambda raw, slug: cloudevents.binary(raw, headers, slug), tenant, events_max)
    if kind == OTLP:
        return otel.traces(body, tenant, events_max)
    if kind not in FORMATS:
        known = ", ".join((*FORMATS, f"{OTLP} (OTLP traces, or the data of a binary CloudEvent)"))
        raise UnknownFormat(f"The content type {shortened(kind) or '(none)'} is not one of {known}.")
    cut, read_one = FORMATS[kind]
    return _read_each(cut(body), read_one, tenant, events_max)


def _read_each(
    pieces: list[bytes], read_one: Callable[[bytes, str], ReportedUsage], tenant: str, events_max: int
) -> Reading:
    if len(pieces) > events_max:
        raise TooManyEvents(f"{len(pieces)} events in one call are more than {events_max}. Send them in several.")
    reading = Reading()
    for index, raw in enumerate(pieces):
        try:
            reading.events.append((index, read_one(raw, tenant)))
        except BadEvent as problem:
            called = strict.called(raw)
            refusal = Refusal(index, called and shortened(called), problem.field, problem.reason)
            reading.refusals.append(refusal)
    return reading
