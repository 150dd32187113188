"""Completions and embeddings of the simulated worker, in vLLM's shapes, with the official SDK and a bare client."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest

from inference.simulator.serving import serving
from inference.simulator.worker import SimulatedWorker, WorkerLimits


@pytest.fixture
def worker() -> SimulatedWorker:
    return SimulatedWorker("llama", limits=WorkerLimits(context_tokens_max=1000))


@pytest.fixture
async def url(worker: SimulatedWorker) -> AsyncIterator[str]:
    async with serving(worker) as address:
        yield address


@pytest.fixture
async def sdk(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def post(url: str, path: str, body: dict[str, Any]) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
        return await client.post(path, json={"model": "llama", **body})


@pytest.mark.parametrize(
    ("prompt", "tokens", "choices"),
    [("one two three", 3, 1), (["one", "two three"], 3, 2), ([5, 6, 7, 8], 4, 1), ([[5, 6], [7], [8]], 4, 3)],
)
async def test_a_completion_has_the_tokens_it_reports(
    sdk: openai.AsyncOpenAI, prompt: Any, tokens: int, choices: int
) -> None:
    answer = await sdk.completions.create(model="llama", prompt=prompt, max_tokens=5, extra_body={"ignore_eos": True})
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (tokens, 5 * choices)
    assert [(choice.index, len(choice.text.split())) for choice in answer.choices] == [(n, 5) for n in range(choices)]
    assert answer.object == "text_completion"


async def test_a_completion_without_a_limit_ends_after_sixteen_tokens(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.completions.create(model="llama", prompt="one", extra_body={"ignore_eos": True})
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 16


async def test_a_streamed_completion_equals_the_whole_one(sdk: openai.AsyncOpenAI) -> None:
    asked: dict[str, Any] = {"model": "llama", "prompt": ["tell me", "a story"], "max_tokens": 20}
    whole = await sdk.completions.create(**asked)
    texts, usage = ["", ""], None
    stream = await sdk.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    async for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in whole.choices]
    assert usage == whole.usage


async def test_running_usage_is_of_the_choice_alone_as_vllm_does_it(url: str) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    body = {"prompt": ["one", "two three"], "max_tokens": 2, "ignore_eos": True, "stream": True}
    answered = await post(url, "/v1/completions", {**body, "stream_options": options})
    *events, last, done = answered.text.strip().split("\n\n")
    assert done == "data: [DONE]"
    seen = [json.loads(event[6:]) for event in events]
    counts = [
        (each["choices"][0]["index"], each["usage"]["prompt_tokens"], each["usage"]["completion_tokens"])
        for each in seen
    ]
    assert counts == [(0, 1, 1), (0, 1, 2), (1, 2, 1), (1, 2, 2)]
    assert json.loads(last[6:])["usage"] == {"prompt_tokens": 3, "total_tokens": 7, "completion_tokens": 4}


@pytest.mark.parametrize(
    ("texts", "tokens", "vectors"), [("one two", 2, 1), (["one", "one"], 2, 2), ([[1, 2, 3]], 3, 1), ([1, 2], 2, 1)]
)
async def test_embeddings_count_their_words_and_are_the_same_for_the_same_text(
    sdk: openai.AsyncOpenAI, texts: Any, tokens: int, vectors: int
) -> None:
    in_base64 = await sdk.embeddings.create(model="llama", input=texts)  # The SDK's own choice.
    in_numbers = await sdk.embeddings.create(model="llama", input=texts, encoding_format="float")
    assert in_base64.usage.prompt_tokens == in_base64.usage.total_tokens == tokens
    assert len(in_numbers.data) == vectors
    for one, other in zip(in_base64.data, in_numbers.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding)
        assert sum(number**2 for number in one.embedding) == pytest.approx(1)
    assert len({tuple(each.embedding) for each in in_numbers.data}) == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/completions", {"prompt": "a", "n": 2}, 400),
        ("/v1/completions", {"prompt": []}, 400),
        ("/v1/completions", {"prompt": [1, "a"]}, 400),
        ("/v1/completions", {"prompt": "a", "max_tokens": 1000}, 400),
        ("/v1/completions", {"prompt": "a", "model": "other"}, 404),
        ("/v1/embeddings", {}, 400),
        ("/v1/embeddings", {"input": "a", "encoding_format": "hex"}, 400),
        ("/v1/embeddings", {"input": "a", "dimensions": 5}, 400),
        ("/v1/embeddings", {"input": "a " * 1001}, 400),
    ],
)
async def test_what_the_worker_cannot_do_is_refused(url: str, path: str, body: dict[str, Any], status: int) -> None:
    answered = await post(url, path, body)
    assert (answered.status_code, answered.json()["error"]["code"]) == (status, status)


async def test_what_was_read_for_embeddings_is_counted(worker: SimulatedWorker, url: str) -> None:
    await post(url, "/v1/embeddings", {"input": ["one two", "three"]})
    assert (worker.metrics.prompt_tokens, worker.metrics.generation_tokens, worker.metrics.running) == (3, 0, 0)
