"""Calls that take plain text: completions and embeddings."""

import json
from typing import Any

import pytest

from metering.usage import Usage
from providers.dialects import DIALECTS
from providers.dialects.dialect import Call, GarbledAnswer, InvalidRequest, Kind
from providers.dialects.openai_completions import read_call as read_completion
from providers.dialects.openai_embeddings import read_call as read_embedding
from providers.dialects.openai_texts import TEXTS_MAX

EMBEDDINGS = DIALECTS["openai"][Kind.EMBEDDING]
TEXTS = [
    ("", 1), ("a text", 1), (["one"], 1), (["one", "two"], 2), ([" "] * TEXTS_MAX, TEXTS_MAX),
    ([1], 1), ([1, 2, 3], 1), (list(range(5000)), 1), ([[1, 2], [3]], 2),
]  # fmt: skip
NO_TEXTS: list[Any] = [
    None, 5, True, {}, [], [[]], [[1], []], ["a", 1], [1, "a"], [["a"]], [-1], [1.5], [None], ["a", [1]],
    ["a"] * (TEXTS_MAX + 1),
]  # fmt: skip


def completion(**members: Any) -> Call:
    return read_completion(json.dumps({"model": "m", "prompt": "a", **members}).encode())


def embedding(**members: Any) -> Call:
    return read_embedding(json.dumps({"model": "m", "input": "a", **members}).encode())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_speaks_every_kind_of_call(dialect: str) -> None:
    assert set(DIALECTS[dialect]) == set(Kind)


@pytest.mark.parametrize(("texts", "number"), TEXTS)
def test_texts_and_token_ids_are_understood_and_numbered(texts: Any, number: int) -> None:
    assert completion(prompt=texts).prompts == number
    assert embedding(input=texts).prompts == number


@pytest.mark.parametrize("texts", NO_TEXTS)
def test_what_is_no_text_is_refused_by_name(texts: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        completion(prompt=texts)
    assert refused.value.param == "prompt"
    with pytest.raises(InvalidRequest) as refused:
        embedding(input=texts)
    assert refused.value.param == "input"


def test_a_completion_is_understood() -> None:
    call = completion(prompt=["a", "b"], stream=True, stream_options={"include_usage": True}, max_tokens=5, n=3)
    assert (call.kind, call.streamed, call.usage_wanted) == (Kind.COMPLETION, True, True)
    assert (call.output_limits, call.prompts, call.answers) == ({"max_tokens": 5}, 2, 3)


def test_a_prompt_may_be_echoed_with_no_answer() -> None:
    assert completion(max_tokens=0, echo=True).output_limits == {"max_tokens": 0}


def test_all_answers_that_are_made_count_and_not_only_those_that_are_given() -> None:
    assert completion(n=2, best_of=5).answers == 5


def test_the_best_of_several_cannot_be_streamed() -> None:
    with pytest.raises(InvalidRequest) as refused:
        completion(best_of=2, stream=True)
    assert refused.value.param == "best_of"


@pytest.mark.parametrize(("field", "value"), [("max_tokens", -1), ("n", 0), ("best_of", 129), ("stream", 1)])
def test_a_wrong_type_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        completion(**{field: value})
    assert refused.value.param == field


def test_an_embedding_is_never_streamed() -> None:
    assert not embedding(stream=True).streamed


@pytest.mark.parametrize("completion_tokens", [{}, {"completion_tokens": 0}, {"completion_tokens": 7}])
def test_an_embedding_counts_what_was_read_and_nothing_else(completion_tokens: dict[str, int]) -> None:
    usage = {"prompt_tokens": 9, "total_tokens": 9, **completion_tokens}
    counted = EMBEDDINGS.count(json.dumps({"data": [{}], "usage": usage}).encode())
    assert counted.usage == Usage(input_uncached=9)
    assert json.loads(counted.upstream_usage or b"") == usage


@pytest.mark.parametrize("garbage", [b"", b"{", b"5", b"{}", b'{"data":5}', b"<html>", b'{"choices":[]}'])
def test_an_answer_without_vectors_is_garbled(garbage: bytes) -> None:
    with pytest.raises(GarbledAnswer):
        EMBEDDINGS.count(garbage)
