"""OpenTelemetry's spans of calls to models: OTLP over HTTP as JSON, with the conventions for generative AI. Pure.

The conventions are those of open-telemetry/semantic-conventions-genai in November 2026, whose status is Development.
Their totals contain their parts: what was read from or written to a cache is within `input_tokens`, reasoning within
`output_tokens`. A span is one event: its source is the service, its id the trace's and the span's.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from metering.ingest_formats import strict
from metering.ingest_formats.reported import (
    EPOCH,
    INTEGER_MAX,
    BadEvent,
    Counts,
    Malformed,
    Reading,
    Refusal,
    ReportedUsage,
    Statement,
    TooManyEvents,
    described,
    reported,
    shortened,
)
from metering.usage import COUNT_MAX, Outcome, ServiceTier

INPUT = "gen_ai.usage.input_tokens"
OUTPUT = "gen_ai.usage.output_tokens"
CACHE_READ = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE = "gen_ai.usage.cache_creation.input_tokens"
REASONING = "gen_ai.usage.reasoning.output_tokens"
MODEL = "gen_ai.request.model"
OPERATION = "gen_ai.operation.name"
TIERS = ("openai.response.service_tier", "openai.request.service_tier")
COUNTED_HERE = "tokenworks.request.id"  # On spans of our own gateway, whose journal has counted them.

CALLS = frozenset(("chat", "text_completion", "generate_content", "embeddings"))
# These sum up the calls within them, which have spans of their own.
AROUND_CALLS = frozenset(("create_agent", "invoke_agent", "invoke_workflow", "execute_tool", "plan"))
STATUS_ERROR = 2


class Value(Struct, frozen=True):
    """An attribute's value. Whole numbers may be strings, as protobuf writes 64 bits in JSON."""

    string: str | None = msgspec.field(name="stringValue", default=None)
    integer: int | str | None = msgspec.field(name="intValue", default=None)
    double: Any = msgspec.field(name="doubleValue", default=None)


class Attribute(Struct, frozen=True):
    key: str
    value: Value = Value()


class Status(Struct, frozen=True):
    code: int | str = 0


class Span(Struct, frozen=True, rename="camel"):
    trace_id: str
    span_id: str
    start_time_unix_nano: int | str
    end_time_unix_nano: int | str = 0
    attributes: list[Attribute] = []
    status: Status = Status()


class ScopeSpans(Struct, frozen=True):
    spans: list[Span] = []


class Resource(Struct, frozen=True):
    attributes: list[Attribute] = []


class ResourceSpans(Struct, frozen=True, rename="camel"):
    resource: Resource = Resource()
    scope_spans: list[ScopeSpans] = []


class Traces(Struct, frozen=True):
    resource_spans: list[ResourceSpans] = msgspec.field(name="resourceSpans")


_decoder = msgspec.json.Decoder(Traces)


def traces(body: bytes, tenant: str, events_max: int) -> Reading:
    """The spans that are calls with usage. `index` counts all spans. Raises Malformed, TooManyEvents."""
    try:
        found = strict.decoded(_decoder, body)
    except BadEvent as problem:
        raise Malformed(f"These are not traces in OTLP's JSON: {problem}") from problem
    reading = Reading()
    for index, (service, span) in enumerate(_spans(found)):
        try:
            said = _attributes(span.attributes)
            if not _is_a_call(said):
                reading.skipped += 1
            else:
                reading.events.append((index, _event(service, span, said, tenant)))
        except BadEvent as problem:
            reading.refusals.append(Refusal(index, shortened(_id(span)), problem.field, problem.reason))
        if len(reading.events) + len(reading.refusals) > events_max:
            raise TooManyEvents(f"More than {events_max} events in one call. Send them in several.")
    return reading


def _spans(found: Traces) -> Iterator[tuple[str, Span]]:
    for group in found.resource_spans:
        service = _text(_attributes(group.resource.attributes), "service.name") or "unknown_service"
        for scope in group.scope_spans:
            yield from ((service, span) for span in scope.spans)


def _attributes(given: list[Attribute]) -> dict[str, Value]:
    said = {attribute.key: attribute.value for attribute in given}
    if len(said) != len(given):
        raise BadEvent("attributes", "An attribute is there twice.")
    return said


def _is_a_call(said: dict[str, Value]) -> bool:
    if COUNTED_HERE in said or not (INPUT in said or OUTPUT in said):
        return False
    operation = _text(said, OPERATION)
    if operation in CALLS:
        return True
    if operation in AROUND_CALLS:
        return False
    raise BadEvent(OPERATION, f"A span with usage is one of {', '.join(sorted(CALLS | AROUND_CALLS))}.")


def _event(service: str, span: Span, said: dict[str, Value], tenant: str) -> ReportedUsage:
    started_us, ended_us = (
        _whole("startTimeUnixNano", span.start_time_unix_nano) // 1_000,
        _whole("endTimeUnixNano", span.end_time_unix_nano) // 1_000,
    )
    failed = span.status.code in (STATUS_ERROR, "STATUS_CODE_ERROR")
    statement = {
        "offering": _text(said, MODEL) or "",
        "usage": _counts(said),
        "outcome": Outcome.UPSTREAM_FAILED if failed else Outcome.COMPLETED,
        "service_tier": _tier(said),
        "duration_us": max(0, ended_us - started_us),
    }
    try:
        checked = msgspec.convert(statement, Statement)
    except msgspec.ValidationError as problem:
        raise described(problem) from problem
    return reported(f"otel/{service}", _id(span), _time(started_us), checked, tenant=tenant)


def _counts(said: dict[str, Value]) -> Any:
    """Units that do not overlap. What was written to a cache is taken for its shorter kind."""
    counts = {name: _whole(name, value.integer, COUNT_MAX) for name, value in said.items() if name in _TOTALS_AND_PARTS}
    units: dict[str, int] = {}
    for total, parts, rest in (
        (INPUT, {CACHE_READ: "input_cached", CACHE_WRITE: "cache_write_5m"}, "input_uncached"),
        (OUTPUT, {REASONING: "reasoning"}, "output"),
    ):
        units |= {unit: counts[part] for part, unit in parts.items() if part in counts}
        if total in counts:
            units[rest] = counts[total] - sum(counts.get(part, 0) for part in parts)
            if units[rest] < 0:
                raise BadEvent(total, f"{counts[total]} is less than its parts, which are {-units[rest]} more.")
    return Counts(**units)


_TOTALS_AND_PARTS = (INPUT, OUTPUT, CACHE_READ, CACHE_WRITE, REASONING)


def _whole(name: str, said: int | str | None, largest: int = INTEGER_MAX) -> int:
    """A whole number from 0 on, which JSON may have as text."""
    digits = str(said) if isinstance(said, int) else said
    if digits is None or not (digits.isascii() and digits.isdigit() and len(digits) <= 19) or int(digits) > largest:
        raise BadEvent(name, f"This is not a whole number from 0 to {largest}.")
    return int(digits)


def _tier(said: dict[str, Value]) -> str:
    """As the provider says it; what it calls default, or leaves to itself, is the standard one."""
    for name in TIERS:
        tier = _text(said, name)
        if tier not in (None, "auto"):
            return ServiceTier.STANDARD if tier == "default" else str(tier)
    return ServiceTier.STANDARD


def _time(at_us: int) -> datetime:
    try:
        return EPOCH + timedelta(microseconds=at_us)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)  # Far in the future, and refused as that.


def _text(said: dict[str, Value], name: str) -> str | None:
    return said[name].string if name in said else None


def _id(span: Span) -> str:
    return f"{span.trace_id}/{span.span_id}"
