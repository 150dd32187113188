"""OpenAI's chat completions: requests understood, answers counted. The streams are tested in tests/gateway as well."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.usage import Usage, UsageSource
from providers.dialects.dialect import GarbledAnswer, InvalidRequest
from providers.dialects.openai_calls import ChoicesFormat
from providers.dialects.openai_chat import read_call
from providers.dialects.openai_stream import OpenAIStream
from tests.gateway.upstreams import DONE, PROMPT, completion, event, running, vllm_stream

MESSAGES = [{"role": "user", "content": "Say hello"}]
TOKENS = st.integers(0, 10**6)


def body(**members: Any) -> bytes:
    return json.dumps({"model": "m", "messages": MESSAGES, **members}).encode()


def follow(*events: bytes, usage_wanted: bool = False, running_usage_wanted: bool = False) -> OpenAIStream:
    stream = OpenAIStream(usage_wanted, running_usage_wanted)
    for each in events:
        stream.take(each[6:-2])
    return stream


def test_a_request_is_understood() -> None:
    call = read_call(body(stream=True, stream_options={"include_usage": True}, max_tokens=5, max_completion_tokens=6))
    assert (call.model, call.streamed, call.usage_wanted, call.running_usage_wanted) == ("m", True, True, False)
    assert call.output_limits == {"max_tokens": 5, "max_completion_tokens": 6}


def test_null_is_as_good_as_absent() -> None:
    call = read_call(body(stream=None, stream_options=None, max_tokens=None, max_completion_tokens=None, n=None))
    assert (call.streamed, call.usage_wanted, call.output_limits) == (False, False, {})


def test_a_running_count_is_only_wanted_along_with_the_usage() -> None:
    assert not read_call(body(stream=True, stream_options={"continuous_usage_stats": True})).running_usage_wanted


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", None), ("model", 5), ("model", ["m"]),
        ("messages", None), ("messages", []), ("messages", "hello"), ("messages", {}),
        ("stream", "yes"), ("stream", 1),
        ("stream_options", []), ("stream_options", {"include_usage": "yes"}),
        ("max_tokens", 0), ("max_tokens", -5), ("max_tokens", 1.5), ("max_tokens", "10"), ("max_tokens", True),
        ("max_completion_tokens", -1), ("max_completion_tokens", [1]),
        ("n", 0), ("n", 129), ("n", "2"),
    ],
)  # fmt: skip
def test_a_wrong_type_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_call(body(**{field: value}))
    assert refused.value.param == field
    assert refused.value.message.startswith(field)


@pytest.mark.parametrize("field", ["model", "messages"])
def test_what_is_missing_is_named(field: str) -> None:
    sent = json.loads(body())
    del sent[field]
    with pytest.raises(InvalidRequest) as refused:
        read_call(json.dumps(sent).encode())
    assert refused.value.param == field


@given(st.binary(max_size=200))
def test_any_bytes_are_understood_or_refused(garbage: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_call(garbage)


def test_usage_beside_choices_is_counted() -> None:
    assert follow(event("a", running(10, 1)), event("b", running(10, 2), "stop"), DONE).counted().usage == Usage(
        input_uncached=10, output=2
    )


def test_the_count_of_a_stream_that_was_not_ended_is_a_running_count() -> None:
    counted = follow(*vllm_stream(["a", "b"])[:3]).counted()
    assert (counted.usage, counted.source) == (Usage(input_uncached=PROMPT, output=2), UsageSource.RUNNING_COUNT)


def test_the_usage_event_is_made_where_the_caller_asked_and_the_upstream_put_it_beside_choices() -> None:
    stream = follow(event("a", running(10, 1)), event("b", running(10, 2), "stop"), DONE, usage_wanted=True)
    owed = json.loads(stream.owed() or b"")
    assert (owed["choices"], owed["usage"], owed["id"]) == ([], running(10, 2), "chatcmpl-1")


@pytest.mark.parametrize("usage_wanted", [True, False])
def test_no_usage_event_is_owed_where_it_came_or_was_not_asked_for(usage_wanted: bool) -> None:
    assert follow(*vllm_stream(["a"]), usage_wanted=usage_wanted).owed() is None


def test_a_null_usage_stays_where_usage_was_asked_for_and_goes_where_not() -> None:
    data = b'{"choices":[{}],"usage":null}'
    assert OpenAIStream(True, False).take(data) is data
    assert OpenAIStream(False, False).take(data) == b'{"choices":[{}]}'


def test_an_error_event_is_a_failure() -> None:
    stream = follow(b'data: {"error":{"message":"out of memory"}}\n\n')
    assert stream.failed
    assert not follow(b'data: {"choices":[{}],"error":null}\n\n').failed


@pytest.mark.parametrize("garbage", [b"", b"{", b"5", b"[]", b'{"choices":5}', b"<html>", b"\xff"])
def test_an_event_that_is_no_chunk_is_garbled(garbage: bytes) -> None:
    with pytest.raises(GarbledAnswer):
        OpenAIStream(False, False).take(garbage)


@pytest.mark.parametrize("garbage", [b"", b"{", b"5", b"{}", b'{"choices":5}', b"<html>"])
def test_an_answer_that_is_no_completion_is_garbled(garbage: bytes) -> None:
    with pytest.raises(GarbledAnswer):
        ChoicesFormat(b"/v1/chat/completions").count(garbage)


@given(prompt=TOKENS, output=TOKENS, cached=st.none() | TOKENS, words=st.lists(st.text(max_size=3), max_size=5))
def test_a_streamed_answer_counts_as_the_same_answer_in_one_piece(
    prompt: int, output: int, cached: int | None, words: list[str]
) -> None:
    usage = {**running(prompt, output), "prompt_tokens_details": {"cached_tokens": cached}}
    streamed = follow(*vllm_stream(words, usage)).counted()
    assert streamed == ChoicesFormat(b"/v1/chat/completions").count(completion(usage))


def test_usage_is_taken_out_byte_for_byte() -> None:
    stream = OpenAIStream(False, False)
    assert stream.take(event("ä", running(1, 1))[6:-2]) == event("ä")[6:-2]


def test_a_large_body_is_sent_on_without_a_copy() -> None:
    image = "x" * 100_000
    call = read_call(body(stream=True, messages=[{"role": "user", "content": image}]))
    pieces = ChoicesFormat(b"/").request_body(call, "model-at-worker")
    (large,) = (piece for piece in pieces if len(piece) > len(image))
    assert large is call.members["messages"]
    assert json.loads(b"".join(pieces))["messages"][0]["content"] == image
