"""Chunks that are read past the parser are the chunks that the parser would have read."""

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.chunks import chunks_of

PIECES = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=4)


def framed(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


class Parsed:
    """What llhttp reads from the body of an answer."""

    def __init__(self, body: bytes) -> None:
        self.pieces: list[bytes] = []
        self.begun = self.ended = 0
        self.complete = False
        parser = httptools.HttpResponseParser(self)
        parser.feed_data(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        parser.feed_data(body)

    def on_chunk_header(self) -> None:
        self.begun += 1

    def on_body(self, body: bytes) -> None:
        self.pieces.append(body)

    def on_chunk_complete(self) -> None:
        self.ended += 1

    def on_message_complete(self) -> None:
        self.complete = True


@given(PIECES)
def test_whole_chunks_are_found_where_they_lie(pieces: list[bytes]) -> None:
    sent = framed(*pieces)
    assert [sent[begin:end] for begin, end in chunks_of(sent)] == pieces


@given(PIECES, st.data())
def test_a_part_of_a_chunk_is_left_to_the_parser(pieces: list[bytes], data: st.DataObject) -> None:
    sent = framed(*pieces)
    ends = {len(framed(*pieces[:number])) for number in range(len(pieces) + 1)}
    cut = data.draw(st.integers(1, len(sent)).filter(lambda at: at not in ends))
    assert chunks_of(sent[:cut]) == []


@given(st.one_of(PIECES.map(lambda pieces: framed(*pieces)), st.binary(max_size=60)), st.data())
@example(b"1\r\na\r\n", None)
def test_what_is_read_is_what_the_parser_reads(sent: bytes, data: st.DataObject | None) -> None:
    if data is not None and sent:
        at = data.draw(st.integers(0, len(sent) - 1))
        sent = sent[:at] + data.draw(st.sampled_from([b"", b"0", b"A", b";x=1", b"\r\n", b" ", b"_", b"-"])) + sent[at:]
    places = chunks_of(sent)
    if not places:
        return
    parsed = Parsed(sent)
    assert b"".join(parsed.pieces) == b"".join(sent[begin:end] for begin, end in places)
    assert (parsed.begun, parsed.ended, parsed.complete) == (len(places), len(places), False)


@pytest.mark.parametrize(
    "unusual",
    [
        b"0\r\n\r\n",
        b"A\r\n0123456789\r\n",
        b"01\r\na\r\n",
        b"1;x=y\r\na\r\n",
        b"1\r\na\r\n0\r\n\r\n",
        b"1\r\nab\r\n",
        b"",
    ],
)
def test_what_is_unusual_is_left_to_the_parser(unusual: bytes) -> None:
    assert chunks_of(unusual) == []
