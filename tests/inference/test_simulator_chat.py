"""What the simulated worker makes of a request, without a server."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.simulator import answer
from inference.simulator.chat import NATURAL_TOKENS_MAX, Refused, Task, accept

HELLO = [{"role": "user", "content": "hello there  \n world"}]


def task(**fields: Any) -> Task:
    body = json.dumps({"model": "llama", "messages": HELLO, **fields}).encode()
    return accept(body, model="llama", context_tokens_max=1000)


def refusal(**fields: Any) -> dict[str, Any]:
    with pytest.raises(Refused) as refused:
        task(**fields)
    error: dict[str, Any] = json.loads(refused.value.body)["error"]
    assert error["code"] == refused.value.status
    return error


def test_a_prompt_has_as_many_tokens_as_words() -> None:
    assert task().prompt_tokens == 3


def test_words_of_all_messages_and_text_parts_are_counted() -> None:
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "one two"}, {"type": "text", "text": "three"}]},
        {"role": "assistant", "content": None},
    ]
    assert task(messages=messages).prompt_tokens == 5


def test_min_and_max_tokens_together_fix_the_length() -> None:
    made = task(min_tokens=40, max_tokens=40)
    assert (made.output_tokens, made.finish_reason) == (40, "length")


def test_ignoring_the_end_writes_up_to_the_limit() -> None:
    assert task(ignore_eos=True, max_tokens=700).output_tokens == 700


def test_max_completion_tokens_goes_before_max_tokens() -> None:
    assert task(ignore_eos=True, max_tokens=7, max_completion_tokens=9).output_tokens == 9


def test_the_same_prompt_always_gets_an_answer_of_the_same_length() -> None:
    assert task().output_tokens == task().output_tokens
    others = {task(messages=[{"role": "user", "content": f"question {number}"}]).output_tokens for number in range(20)}
    assert len(others) > 10


@given(
    prompt=st.text(max_size=200),
    max_tokens=st.none() | st.integers(1, 700),
    min_tokens=st.integers(0, 700),
    ignore_eos=st.booleans(),
)
def test_every_count_is_known_beforehand(
    prompt: str, max_tokens: int | None, min_tokens: int, ignore_eos: bool
) -> None:
    if max_tokens is not None:
        min_tokens = min(min_tokens, max_tokens)
    made = task(
        messages=[{"role": "user", "content": prompt}],
        max_tokens=max_tokens,
        min_tokens=min_tokens,
        ignore_eos=ignore_eos,
    )
    limit = max_tokens if max_tokens is not None else 1000 - made.prompt_tokens
    assert made.prompt_tokens == len(prompt.split())
    assert min(max(1, min_tokens), limit) <= made.output_tokens <= limit
    assert ignore_eos or made.output_tokens <= max(NATURAL_TOKENS_MAX, min_tokens)
    assert (made.finish_reason == "length") == (made.output_tokens == limit)
    assert len(answer.text(made.output_tokens).split()) == made.output_tokens


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"messages": 1}',
        b'{"messages": ["hi"]}',
        b"\xff",
        b'{"model": "llama"}',
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"other": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_chat_request_is_refused_as_bad(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        accept(body, model="llama", context_tokens_max=1000)
    assert refused.value.status == 400
    assert json.loads(refused.value.body)["error"]["type"] == "BadRequestError"


@pytest.mark.parametrize(
    ("fields", "about"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10**30}, "max_tokens"),
        ({"max_tokens": "many"}, None),
        ({"max_tokens": 1.5}, None),
        ({"max_tokens": True}, None),
        ({"min_tokens": -1}, "min_tokens"),
        ({"min_tokens": 9, "max_tokens": 8}, "min_tokens"),
        ({"messages": []}, "messages"),
        ({"n": 2}, "n"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"messages": [{"role": "user", "content": "word " * 1000}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, None),
    ],
)
def test_a_bad_field_is_refused_and_named(fields: dict[str, Any], about: str | None) -> None:
    error = refusal(**fields)
    assert (error["code"], error["type"], error["param"]) == (400, "BadRequestError", about)


def test_another_model_is_not_found() -> None:
    error = refusal(model="gpt-5")
    assert (error["code"], error["type"], error["param"]) == (404, "NotFoundError", "model")


def test_usage_is_streamed_only_where_asked_for() -> None:
    assert not task(stream=True).include_usage
    asked = task(stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True})
    assert (asked.include_usage, asked.continuous_usage) == (True, True)
    continuous_alone = task(stream=True, stream_options={"include_usage": False, "continuous_usage_stats": True})
    assert (continuous_alone.include_usage, continuous_alone.continuous_usage) == (False, False)


@pytest.mark.parametrize(
    "wrong",
    ['"temperature":"hot"', '"temperature":2.5', '"top_p":0', '"presence_penalty":3', '"seed":1.5', '"stop":[1]'],
)
def test_a_field_of_the_wrong_type_or_out_of_bounds_is_refused_though_it_changes_no_count(wrong: str) -> None:
    field = wrong.split(":")[0].strip('"')
    with pytest.raises(Refused, match=field):
        accept(f'{{"messages":[{{"role":"user","content":"a"}}],{wrong}}}'.encode(), model="m", context_tokens_max=99)


def test_a_user_who_says_nothing_is_refused() -> None:
    with pytest.raises(Refused, match="needs a content"):
        accept(b'{"messages":[{"role":"user"}]}', model="m", context_tokens_max=99)
