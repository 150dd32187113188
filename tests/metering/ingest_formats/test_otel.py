"""Spans of calls to models, as OpenTelemetry's exporters send them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.ingest_formats.reading import read
from metering.ingest_formats.reported import Malformed, Reading, ReportedUsage, TooManyEvents
from metering.usage import Outcome, ServiceTier, Usage

NOON_US = 1_795_435_200_000_000
CALL: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "llama-3.3-70b",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 30,
}


def attributes(said: dict[str, Any]) -> list[dict[str, Any]]:
    kinds: dict[type, Any] = {str: "stringValue", int: "intValue", float: "doubleValue", bool: "boolValue"}
    return [{"key": name, "value": {kinds[type(value)]: value}} for name, value in said.items() if value is not None]


def span(said: dict[str, Any], number: int = 1, **members: Any) -> dict[str, Any]:
    return {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": f"{number:016x}",
        "name": "chat llama-3.3-70b",
        "kind": 3,
        "startTimeUnixNano": str(NOON_US * 1000 + 999),
        "endTimeUnixNano": str(NOON_US * 1000 + 1_500_000_000),
        "attributes": attributes(said),
        **members,
    }


def traces(*spans: dict[str, Any], events_max: int = 100) -> Reading:
    resource = {"attributes": attributes({"service.name": "shop"})}
    said = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "x"}, "spans": spans}]}]}
    return read(json.dumps(said).encode(), "application/json", {}, tenant="acme", events_max=events_max)


def only(found: Reading) -> ReportedUsage:
    assert found.refusals == []
    return found.events[0][1]


def test_a_call_is_an_event_with_the_ids_of_its_span() -> None:
    event = only(traces(span(CALL)))
    assert (event.source, event.external_id) == ("otel/shop", "5b8efff798038103d269b633813fc60c/0000000000000001")
    assert (event.occurred_at_us, event.duration_us) == (NOON_US, 1_500_000)
    assert (event.offering, event.outcome, event.billed) == ("llama-3.3-70b", Outcome.COMPLETED, True)
    assert event.usage == Usage(input_uncached=100, output=30)


def test_totals_are_taken_apart_so_that_no_token_counts_twice() -> None:
    parts = {
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.cache_creation.input_tokens": 10,
        "gen_ai.usage.reasoning.output_tokens": 20,
    }
    usage = only(traces(span({**CALL, **parts}))).usage
    assert usage == Usage(input_uncached=30, input_cached=60, cache_write_5m=10, output=10, reasoning=20)


def test_parts_that_are_more_than_their_total_are_refused() -> None:
    found = traces(span({**CALL, "gen_ai.usage.cache_read.input_tokens": 101}))
    assert (found.refusals[0].index, found.refusals[0].field) == (0, "gen_ai.usage.input_tokens")


def test_whole_numbers_may_be_text_and_nothing_else_is_one() -> None:
    def with_input(value: dict[str, Any]) -> Reading:
        said = span({**CALL, "gen_ai.usage.input_tokens": None})
        said["attributes"].append({"key": "gen_ai.usage.input_tokens", "value": value})
        return traces(said)

    assert only(with_input({"intValue": "100"})).usage.input_uncached == 100
    for value in ({"intValue": "-1"}, {"intValue": "1.0"}, {"doubleValue": 1.0}, {"intValue": str(2**63)}, {}):
        assert with_input(value).refusals[0].field == "gen_ai.usage.input_tokens"


def test_spans_that_are_no_calls_are_skipped_and_counted() -> None:
    found = traces(
        span({"http.request.method": "GET"}),
        span({**CALL, "gen_ai.operation.name": "invoke_agent"}),
        span(CALL),
    )
    assert (len(found.events), found.skipped) == (1, 2)


def test_what_our_own_gateway_counted_is_not_counted_again() -> None:
    found = traces(span({**CALL, "tokenworks.request.id": "019ab"}))
    assert (found.events, found.skipped) == ([], 1)


def test_an_operation_that_nobody_knows_is_refused_by_name() -> None:
    for operation in ("think", None):
        found = traces(span({**CALL, "gen_ai.operation.name": operation}))
        assert found.refusals[0].field == "gen_ai.operation.name"


def test_a_failed_span_is_not_billed() -> None:
    event = only(traces(span(CALL, status={"code": 2})))
    assert (event.outcome, event.billed) == (Outcome.UPSTREAM_FAILED, False)


def test_the_tier_of_service_is_the_one_that_answered() -> None:
    asked = {"openai.request.service_tier": "auto"}
    assert only(traces(span({**CALL, **asked}))).service_tier == ServiceTier.STANDARD
    answered = {**asked, "openai.response.service_tier": "priority"}
    assert only(traces(span({**CALL, **answered}))).service_tier == ServiceTier.PRIORITY
    unknown = {"openai.response.service_tier": "gold"}
    assert traces(span({**CALL, **unknown})).refusals[0].field == "service_tier"


def test_a_span_without_a_model_or_a_time_is_refused_by_name() -> None:
    assert traces(span({**CALL, "gen_ai.request.model": None})).refusals[0].field == "offering"
    assert traces(span(CALL, startTimeUnixNano="soon")).refusals[0].field == "startTimeUnixNano"


def test_an_attribute_that_is_there_twice_is_refused() -> None:
    twice = span(CALL)
    twice["attributes"] += attributes({"gen_ai.usage.output_tokens": 3})
    assert traces(twice).refusals[0].field == "attributes"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"resourceSpans": 1}', b'{"resourceSpans": [], "resourceSpans": []}']
)
def test_what_is_no_trace_is_refused_whole(body: bytes) -> None:
    with pytest.raises(Malformed):
        read(body, "application/json", {}, tenant="acme", events_max=100)


def test_more_calls_than_a_call_may_report_are_refused() -> None:
    with pytest.raises(TooManyEvents):
        traces(span(CALL, 1), span(CALL, 2), events_max=1)


def places(said: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each value within this one is."""
    inner = said.items() if isinstance(said, dict) else enumerate(said) if isinstance(said, list) else ()
    for name, value in inner:
        yield (*path, name)
        yield from places(value, (*path, name))


WHOLE = span({**CALL, "gen_ai.usage.cache_read.input_tokens": 60, "openai.response.service_tier": "flex"}, status={})
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(["9" * 30, "1e5", "²"]),
    st.sampled_from([[], {}, [None], {"stringValue": 5}, {"intValue": "9" * 30}, {"intValue": -1}]),
)  # fmt: skip


@given(st.sampled_from(sorted(places(WHOLE), key=str)), ANYTHING)
def test_any_value_anywhere_in_a_span_is_taken_skipped_or_refused(place: tuple[Any, ...], value: Any) -> None:
    changed = json.loads(json.dumps(WHOLE))
    at = changed
    for name in place[:-1]:
        at = at[name]
    at[place[-1]] = value
    try:
        found = traces(changed)
    except Malformed:
        return
    assert len(found.events) + len(found.refusals) + found.skipped == 1
