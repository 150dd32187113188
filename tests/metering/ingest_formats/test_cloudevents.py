"""CloudEvents 1.0: three ways to say the same event."""

import json
from typing import Any

import pytest

from metering.ingest_formats.reading import read
from metering.ingest_formats.reported import Malformed, Reading, ReportedUsage, UnknownFormat

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
DATA = {"offering": "llama-3.3-70b", "usage": {"input_uncached": 70, "output": 30}}
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "type": "tokenworks.usage",
    "id": "req-1",
    "source": "https://gateway.example/eu",
    "time": "2026-11-23T12:00:00Z",
    "data": DATA,
}
FLAT = {**{name: EVENT[name] for name in ("id", "source", "time")}, **DATA}
HEADERS = {
    "Ce-Specversion": "1.0",
    "Ce-Type": "tokenworks.usage",
    "Ce-Id": "req-1",
    "Ce-Source": "https://gateway.example/eu",
    "Ce-Time": "2026-11-23T12:00:00Z",
    "Content-Type": "application/json",
}


def reading(said: Any, kind: str, headers: dict[str, str] | None = None) -> Reading:
    return read(json.dumps(said).encode(), kind, headers or {}, tenant="acme", events_max=100)


def only(found: Reading) -> ReportedUsage:
    assert found.refusals == []
    return found.events[0][1]


def test_every_format_says_the_same_event() -> None:
    flat = only(reading(FLAT, "application/x-ndjson"))
    assert only(reading(EVENT, STRUCTURED)) == flat
    assert only(reading(EVENT, f"{STRUCTURED}; charset=utf-8")) == flat
    assert only(reading([EVENT], BATCH)) == flat
    assert only(reading(EVENT, "application/x-ndjson")) == flat
    assert only(reading(DATA, "application/json", HEADERS)) == flat


def test_extensions_are_left_alone_and_unknown_data_is_refused() -> None:
    only(reading({**EVENT, "traceparent": "00-0af7", "partitionkey": "7"}, STRUCTURED))
    found = reading({**EVENT, "data": {**DATA, "tokens": 1}}, STRUCTURED)
    assert found.refusals[0].field == "data.tokens"


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"type": "com.example.other"}, "type"),
        ({"data": "text"}, "data"),
        ({"data": {**DATA, "usage": {"output": 0.5}}}, "data.usage.output"),
        ({"time": "2026-11-23T12:00:00"}, "time"),
        ({"tenant": "mallory"}, "tenant"),
        ({"data": {**DATA, "tenant": "mallory"}}, "tenant"),
        ({"tenant": "acme", "data": {**DATA, "tenant": "mallory"}}, "tenant"),
        ({"datacontenttype": "application/xml"}, "datacontenttype"),
        ({"source": ""}, "source"),
    ],
)
def test_what_cannot_be_taken_is_refused_by_name(members: dict[str, Any], field: str) -> None:
    assert reading({**EVENT, **members}, STRUCTURED).refusals[0].field == field


def test_data_in_base64_is_refused() -> None:
    event = {name: said for name, said in EVENT.items() if name != "data"}
    assert reading({**event, "data_base64": "e30="}, STRUCTURED).refusals[0].field == "data"


def test_a_member_that_is_there_twice_is_refused_at_any_depth() -> None:
    raw = json.dumps(EVENT).replace('"output": 30', '"output": 3, "output": 30')
    found = read(f"[{json.dumps(EVENT)}, {raw}]".encode(), BATCH, {}, tenant="acme", events_max=100)
    assert [(refusal.index, refusal.field) for refusal in found.refusals] == [(1, "output")]


def test_a_batch_that_is_no_array_is_refused_whole() -> None:
    for body in (b"{}", b"[1", b"", b"[{]", b"[" * 100_000):
        with pytest.raises(Malformed):
            read(body, BATCH, {}, tenant="acme", events_max=100)


def test_headers_may_be_percent_encoded() -> None:
    found = only(reading(DATA, "application/json", {**HEADERS, "Ce-Source": "caf%C3%A9", "Ce-Id": "50%25"}))
    assert (found.source, found.external_id) == ("café", "50%")


def test_headers_that_are_no_text_are_refused() -> None:
    with pytest.raises(Malformed):
        reading(DATA, "application/json", {**HEADERS, "Ce-Id": "%FF"})


def test_a_binary_event_without_its_attributes_is_refused_by_name() -> None:
    found = reading(DATA, "application/json", {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s"})
    assert found.refusals[0].field == "type"


def test_an_attribute_called_data_does_not_replace_the_body() -> None:
    assert only(reading(DATA, "application/json", {**HEADERS, "ce-data": "{}"})).offering == "llama-3.3-70b"


def test_a_binary_event_of_other_content_is_refused() -> None:
    with pytest.raises(UnknownFormat):
        reading(DATA, "text/plain", HEADERS)
