"""Cutting a stream into events."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sse import EventSplitter, EventTooLarge, data_of, event_of

LIMIT = 1000
LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
LINES = st.sampled_from([b"data: {}", b"data:x", b": comment", b"id: 1", b"event: e", b"data: a: b", b"data"])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Events with every kind of line end, mixed, and bytes that are no event at all."""
    pieces = st.one_of(LINES, LINE_ENDS, st.binary(max_size=4))
    return b"".join(draw(st.lists(pieces, max_size=30)))


def split(*pieces: bytes, limit: int = LIMIT) -> list[bytes]:
    splitter = EventSplitter(limit)
    events = [event for piece in pieces for event in splitter.feed(piece)]
    return events + splitter.finish()


def cut_at(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


@given(streams(), st.data())
def test_events_do_not_depend_on_how_the_bytes_arrive(stream: bytes, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    assert split(*cut_at(stream, places)) == split(stream)


@given(streams())
def test_a_byte_at_a_time_gives_the_same_events(stream: bytes) -> None:
    assert split(*(stream[place : place + 1] for place in range(len(stream)))) == split(stream)


@given(streams())
def test_no_byte_is_lost_or_changed(stream: bytes) -> None:
    splitter = EventSplitter(LIMIT)
    events = splitter.feed(stream)
    assert stream.startswith(b"".join(events))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_ends_an_event(end: bytes) -> None:
    first, second = b"data: 1" + end + end, b"data: 2" + end + end
    assert split(first + second + b"data: 3\n\n")[:2] == [first, second]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_data_of_several_lines_is_joined(end: bytes) -> None:
    assert data_of(end.join([b"id: 7", b"data: a", b": no", b"data:b", b"data", b"", b""])) == b"a\nb\n"


def test_a_comment_has_no_data() -> None:
    assert data_of(b": ping\n\n") is None


def test_data_can_be_read_back() -> None:
    assert data_of(event_of(b'{"a": "data: b"}')) == b'{"a": "data: b"}'


def test_an_event_that_was_not_closed_is_closed_at_the_end() -> None:
    assert split(b"data: 1\n\ndata: [DONE]\n") == [b"data: 1\n\n", b"data: [DONE]\n\n\n"]
    assert split(b"data: 1\n\n\n") == [b"data: 1\n\n"]


@pytest.mark.parametrize("pieces", [1, 2, 1000])
def test_an_event_up_to_the_limit_passes_and_one_over_it_is_refused(pieces: int) -> None:
    largest = b"data: " + b"x" * (LIMIT - 8) + b"\n\n"
    step = -(-len(largest) // pieces)
    assert split(*(largest[at : at + step] for at in range(0, LIMIT, step))) == [largest]
    larger = b"y" + largest
    with pytest.raises(EventTooLarge, match="1001 bytes is over the limit of 1000"):
        split(*(larger[at : at + step] for at in range(0, LIMIT + 1, step)))


def test_an_endless_event_is_refused_before_it_ends() -> None:
    splitter = EventSplitter(LIMIT)
    splitter.feed(b"x" * LIMIT)
    with pytest.raises(EventTooLarge):
        splitter.feed(b"x")
