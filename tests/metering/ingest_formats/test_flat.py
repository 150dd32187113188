"""What one event says, and by what name it is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.ingest_formats.reading import read
from metering.ingest_formats.reported import (
    Malformed,
    Reading,
    ReportedUsage,
    TooManyEvents,
    UnknownFormat,
)
from metering.usage import COUNT_MAX, REPORTED_UNITS, Outcome, ServiceTier, Usage

NDJSON = "application/x-ndjson"
NOON_US = 1_795_435_200_000_000
EVENT: dict[str, Any] = {
    "id": "req-1",
    "source": "gateway-eu",
    "time": "2026-11-23T12:00:00Z",
    "offering": "llama-3.3-70b",
    "usage": {"input_uncached": 70, "output": 30},
}


def reading(*events: dict[str, Any] | bytes, events_max: int = 100) -> Reading:
    body = b"\n".join(event if isinstance(event, bytes) else json.dumps(event).encode() for event in events)
    return read(body, NDJSON, {}, tenant="acme", events_max=events_max)


def only(event: dict[str, Any]) -> ReportedUsage:
    found = reading(event)
    assert found.refusals == []
    return found.events[0][1]


def refused(event: dict[str, Any] | bytes) -> tuple[str, str]:
    found = reading(event)
    assert found.events == []
    return found.refusals[0].field, found.refusals[0].reason


def test_a_flat_event_says_what_was_used() -> None:
    assert only(EVENT) == ReportedUsage(
        source="gateway-eu",
        external_id="req-1",
        occurred_at_us=NOON_US,
        offering="llama-3.3-70b",
        deployment="",
        project=None,
        api_key=None,
        service_tier=ServiceTier.STANDARD,
        grade="",
        outcome=Outcome.COMPLETED,
        billed=True,
        streamed=False,
        duration_us=0,
        usage=Usage(input_uncached=70, output=30),
    )


def test_every_unit_can_be_reported() -> None:
    counts = {str(unit): number for number, unit in enumerate(REPORTED_UNITS)}
    assert only({**EVENT, "usage": counts}).usage.units() == counts


def test_an_explicit_zero_is_counted_and_a_null_is_not() -> None:
    assert only({**EVENT, "usage": {"output": 0, "reasoning": None}}).usage == Usage(output=0)


@pytest.mark.parametrize(
    "time", ["2026-11-23T12:00:00Z", "2026-11-23T13:00:00+01:00", "2026-11-23T12:00:00.0Z", "2026-11-23 12:00:00Z"]
)
def test_one_instant_is_one_event_however_it_is_written(time: str) -> None:
    assert only({**EVENT, "time": time}) == only(EVENT)


def test_usage_that_came_to_nothing_is_not_billed_unless_it_says_so() -> None:
    failed = {**EVENT, "outcome": "upstream_failed"}
    assert not only(failed).billed
    assert only({**failed, "billed": True}).billed
    assert not only({**EVENT, "billed": False}).billed
    assert only({**failed, "usage": {}}).usage == Usage()


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"usage": {"output": -1}}, "usage.output"),
        ({"usage": {"output": 1.5}}, "usage.output"),
        ({"usage": {"output": 1.0}}, "usage.output"),
        ({"usage": {"output": "1"}}, "usage.output"),
        ({"usage": {"output": True}}, "usage.output"),
        ({"usage": {"output": 2**63}}, "usage.output"),
        ({"usage": {"output": 2**64}}, "usage.output"),
        ({"usage": {"output": 10**400}}, "usage.output"),
        ({"usage": {"output": COUNT_MAX + 1}}, "usage.output"),
        ({"usage": {"tokens": 1}}, "usage.tokens"),
        ({"usage": {"request": 1}}, "usage.request"),
        ({"usage": {}}, "usage"),
        ({"usage": {"output": None}}, "usage"),
        ({"usage": [1]}, "usage"),
        ({"time": "2026-11-23T12:00:00"}, "time"),
        ({"time": "yesterday"}, "time"),
        ({"time": 1_795_435_200}, "time"),
        ({"time": None}, "time"),
        ({"tenant": "mallory"}, "tenant"),
        ({"cost": 12}, "cost"),
        ({"id": ""}, "id"),
        ({"id": "ä" * 129}, "id"),
        ({"id": "x" * 257}, "id"),
        ({"id": "a\0b"}, "id"),
        ({"id": 7}, "id"),
        ({"source": " "}, "source"),
        ({"offering": ""}, "offering"),
        ({"deployment": "x" * 257}, "deployment"),
        ({"grade": "\0"}, "grade"),
        ({"service_tier": "gold"}, "service_tier"),
        ({"outcome": "fine"}, "outcome"),
        ({"billed": 1}, "billed"),
        ({"duration_us": -1}, "duration_us"),
        ({"api_key": 0}, "api_key"),
    ],
)
def test_what_cannot_be_taken_is_refused_by_name(members: dict[str, Any], field: str) -> None:
    assert refused({**EVENT, **members})[0] == field


@pytest.mark.parametrize("name", ["id", "source", "time", "offering", "usage"])
def test_what_is_missing_is_refused_by_name(name: str) -> None:
    assert refused({said: EVENT[said] for said in EVENT if said != name})[0] == name


def test_ids_of_256_bytes_and_the_largest_count_are_taken() -> None:
    event = only({**EVENT, "id": "ä" * 128, "usage": {"output": COUNT_MAX}})
    assert (event.external_id, event.usage.output) == ("ä" * 128, COUNT_MAX)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b'{"id":"a","source":"s","time":"2026-11-23T12:00:00Z","offering":"o","usage":{"output":1},"id":"b"}', "id"),
        (b'{"id":"a","source":"s","time":"2026-11-23T12:00:00Z","offering":"o","usage":{"output":1,"output" :2}}',
         "output"),
        (b'{"id":"a","source":"s","time":"2026-11-23T12:00:00Z","offering":"o","usage":{"output":1,"\\u006futput":2}}',
         "output"),
    ],
)  # fmt: skip
def test_a_member_that_is_there_twice_is_refused(raw: bytes, field: str) -> None:
    assert refused(raw) == (field, "This member is there twice.")


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"\xff\xfe",
        b'{"usage": {"output": NaN}}',
        b'{"usage": {"output": 01}}',
        b'{"id": "\\ud800"}',
        b"[" * 100_000,
        b'{"usage":' * 5_000,
        b"null",
        b"7",
        b'{"a":1}{"b":2}',
    ],
)
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    refused(raw)


def test_each_bad_line_is_told_by_its_place_and_the_good_ones_are_read() -> None:
    found = reading(EVENT, {**EVENT, "id": "req-2", "usage": {"output": -1}}, b"nonsense", EVENT)
    assert [index for index, _ in found.events] == [0, 3]
    assert [(refusal.index, refusal.id) for refusal in found.refusals] == [(1, "req-2"), (2, None)]


def test_blank_lines_and_ends_of_lines_of_windows_are_no_events() -> None:
    line = json.dumps(EVENT).encode()
    found = read(line + b"\r\n\r\n" + line + b"\n\n", NDJSON, {}, tenant="acme", events_max=2)
    assert len(found.events) == 2


def test_a_void_says_nothing_else() -> None:
    void = {"id": "req-2", "source": "gateway-eu", "voids": "req-1"}
    assert only(void).corrects == "req-1"
    for name, said in {"offering": "x", "usage": {"output": 1}, "billed": False, "amends": "req-1"}.items():
        assert refused({**void, name: said})[0] == name


def test_an_amendment_says_all_that_is_right_and_needs_no_time() -> None:
    amendment = {**{name: EVENT[name] for name in EVENT if name != "time"}, "id": "req-2", "amends": "req-1"}
    assert (only(amendment).corrects, only(amendment).occurred_at_us) == ("req-1", None)
    assert refused({**amendment, "usage": {}})[0] == "usage"


def test_more_events_than_a_call_may_have_are_refused() -> None:
    with pytest.raises(TooManyEvents):
        reading(EVENT, EVENT, EVENT, events_max=2)


@pytest.mark.parametrize("kind", ["", "text/csv", "application/xml", "application/x-ndjson2"])
def test_a_content_type_that_nothing_reads_is_refused(kind: str) -> None:
    with pytest.raises(UnknownFormat):
        read(b"", kind, {}, tenant="acme", events_max=1)


def test_a_byte_order_mark_is_refused() -> None:
    with pytest.raises(Malformed):
        reading(b"\xef\xbb\xbf" + json.dumps(EVENT).encode())


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_no_bytes_at_all_are_taken_or_break_the_reader(body: bytes) -> None:
    for kind in (NDJSON, "application/cloudevents+json", "application/cloudevents-batch+json", "application/json"):
        try:
            assert read(body, kind, {}, tenant="acme", events_max=100).events == []
        except Malformed:
            pass
        except TooManyEvents:
            assert body.count(b"\n") >= 100


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(EVENT)), JSON_VALUES)
def test_any_value_anywhere_is_taken_or_refused_by_name(name: str, value: Any) -> None:
    found = reading({**EVENT, name: value})
    assert len(found.events) + len(found.refusals) == 1
    for refusal in found.refusals:
        assert refusal.reason
