import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.received import Answer, Usage

STREAM = (
    b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"h\xc3\xa9llo"}}]}\n\n'
    b": still here\n\n"
    b'data: {"choices":[{"delta":{"content":" there"}}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}\n\n'
    b"data: [DONE]\n\n"
)
WHOLE = b'{"choices":[{"message":{"content":"hello there"}}],"usage":{"prompt_tokens":7,"completion_tokens":2}}'


def answer(*parts: bytes, streamed: bool) -> Answer:
    made = Answer(streamed=streamed)
    for part in parts:
        made.feed(part)
    made.end()
    return made


@given(st.integers(0, len(STREAM)), st.integers(0, len(STREAM)))
def test_a_stream_is_read_the_same_however_it_was_cut_into_packets(first: int, second: int) -> None:
    low, high = sorted((first, second))
    got = answer(STREAM[:low], STREAM[low:high], STREAM[high:], streamed=True)
    assert (got.whole, got.words(), got.usage) == (True, 2, Usage(7, 2))


@given(st.integers(0, len(STREAM) - 2))
def test_a_stream_that_ends_early_is_not_whole(length: int) -> None:
    assert not answer(STREAM[:length], streamed=True).whole


def test_a_buffered_answer_is_read_at_its_end() -> None:
    got = answer(WHOLE[:30], WHOLE[30:], streamed=False)
    assert (got.whole, got.words(), got.usage) == (True, 2, Usage(7, 2))


def test_a_buffered_answer_that_ends_early_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        answer(WHOLE[:30], streamed=False)


def test_missing_usage_is_none_and_not_zero() -> None:
    assert answer(b'{"choices":[]}', streamed=False).usage is None


def test_an_error_inside_a_stream_makes_it_incomplete() -> None:
    got = answer(b'data: {"error":{"message":"worker lost"}}\n\ndata: [DONE]\n\n', streamed=True)
    assert not got.whole
    assert got.error == b'{"message":"worker lost"}'
