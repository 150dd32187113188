"""The simulated worker over HTTP, with the official SDK and with a bare socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
import pytest

from inference.simulator import FINGERPRINT
from inference.simulator.serving import serving
from inference.simulator.speed import SPEEDS, Speed, UnknownSpeed, named
from inference.simulator.worker import SimulatedWorker, WorkerLimits

CHAT = "/v1/chat/completions"
SLOW = Speed("slow", input_tokens_per_s=1_000_000, output_us_per_token=20_000)


def question(words: int = 5, **fields: object) -> dict[str, object]:
    return {"model": "llama", "messages": [{"role": "user", "content": "word " * words}], **fields}


@pytest.fixture
def worker() -> SimulatedWorker:
    return SimulatedWorker("llama", limits=WorkerLimits(body_bytes_max=100_000, running_max=2, waiting_max=3))


@pytest.fixture
async def url(worker: SimulatedWorker) -> AsyncIterator[str]:
    async with serving(worker) as address:
        yield address


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture
async def sdk(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a state that must come, within ten seconds."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


async def test_an_answer_has_the_tokens_it_reports(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(
        model="llama",
        messages=[{"role": "user", "content": "one two three"}],
        max_tokens=17,
        extra_body={"min_tokens": 17},
    )
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 17, 20)
    assert len((answer.choices[0].message.content or "").split()) == 17
    assert answer.choices[0].finish_reason == "length"


async def test_a_streamed_answer_equals_the_buffered_one(sdk: openai.AsyncOpenAI) -> None:
    messages = [{"role": "user", "content": "tell me a story"}]
    whole = await sdk.chat.completions.create(model="llama", messages=messages)  # type: ignore[arg-type]  # plain dicts are messages, too
    text, usage = "", None
    stream = await sdk.chat.completions.create(  # type: ignore[call-overload]  # plain dicts are messages, too
        model="llama", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    async for chunk in stream:
        usage = chunk.usage or usage
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert usage == whole.usage


async def events(http: httpx2.AsyncClient, **fields: Any) -> list[dict[str, object]]:
    response = await http.post(CHAT, json=question(stream=True, **fields))
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


async def test_a_stream_has_one_event_a_token(http: httpx2.AsyncClient) -> None:
    got = await events(http, max_tokens=150, min_tokens=150)
    assert len(got) == 1 + 150
    assert not any("usage" in event for event in got)


async def test_asked_for_usage_comes_in_an_event_of_its_own_without_choices(http: httpx2.AsyncClient) -> None:
    got = await events(http, max_tokens=5, min_tokens=5, stream_options={"include_usage": True})
    assert [event["choices"] == [] for event in got] == [False] * 6 + [True]
    assert got[-1]["usage"] == {"prompt_tokens": 5, "total_tokens": 10, "completion_tokens": 5}


async def test_continuous_usage_counts_up_with_every_event(http: httpx2.AsyncClient) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    got = await events(http, max_tokens=4, min_tokens=4, stream_options=options)
    counts = [event["usage"]["completion_tokens"] for event in got]  # type: ignore[index]
    assert counts == [0, 1, 2, 3, 4, 4]


async def test_it_says_everywhere_that_it_is_simulated(http: httpx2.AsyncClient) -> None:
    models = await http.get("/v1/models")
    assert models.json()["data"][0]["owned_by"] == "tokenworks (simulated)"
    answer = await http.post(CHAT, json=question())
    assert answer.json()["system_fingerprint"] == FINGERPRINT
    for response in (models, answer, await http.get("/nowhere")):
        assert response.headers["server"] == "tokenworks-simulator (simulated)"
    assert {event["system_fingerprint"] for event in await events(http)} == {FINGERPRINT}


async def test_it_is_healthy(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/health")).status_code == 200


async def test_metrics_count_under_the_names_of_vllm(http: httpx2.AsyncClient) -> None:
    await http.post(CHAT, json=question(7, max_tokens=3, min_tokens=3))
    text = (await http.get("/metrics")).text
    label = 'engine="0",model_name="llama"'
    for line in (
        f"vllm:num_requests_running{{{label}}} 0.0",
        f"vllm:num_requests_waiting{{{label}}} 0.0",
        f"vllm:prompt_tokens_total{{{label}}} 7.0",
        f"vllm:generation_tokens_total{{{label}}} 3.0",
        f'vllm:request_success_total{{{label},finished_reason="length"}} 1.0',
    ):
        assert line in text.splitlines()


async def test_bad_requests_get_the_error_shape_of_vllm(http: httpx2.AsyncClient) -> None:
    response = await http.post(CHAT, content=b"{")
    assert response.status_code == 400
    assert response.json()["error"].keys() == {"message", "type", "param", "code"}


async def test_a_body_over_the_limit_is_refused(http: httpx2.AsyncClient, worker: SimulatedWorker) -> None:
    response = await http.post(CHAT, json=question(30_000))
    assert response.status_code == 413
    assert worker.metrics.prompt_tokens == 0


async def test_an_unknown_address_is_not_found(http: httpx2.AsyncClient) -> None:
    assert (await http.get(CHAT)).status_code == 404


async def hang_up_after(url: str, tokens: int, fields: dict[str, object]) -> None:
    """Ask over a bare socket, read until so many events came, and close."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    body = json.dumps(question(**fields)).encode()  # type: ignore[arg-type]
    writer.write(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (CHAT.encode(), len(body)) + body)
    for _ in range(tokens):
        await reader.readuntil(b'"content"')
    writer.close()


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_client_that_hangs_up_ends_the_work(streamed: bool) -> None:
    worker = SimulatedWorker("llama", SLOW)
    async with serving(worker) as url:
        fields: dict[str, object] = {"stream": streamed, "max_tokens": 100_000, "ignore_eos": True}
        await hang_up_after(url, 3 if streamed else 0, fields)
        await until(lambda: worker.metrics.finished["abort"] == 1)
        assert worker.metrics.running == 0
        assert worker.metrics.generation_tokens < 1000


async def test_an_unread_stream_at_full_speed_waits_and_is_aborted(url: str, worker: SimulatedWorker) -> None:
    await hang_up_after(url, 3, {"stream": True, "max_tokens": 100_000, "ignore_eos": True})
    await until(lambda: worker.metrics.finished["abort"] == 1)
    assert worker.metrics.generation_tokens < 100_000


async def test_requests_over_the_limit_wait_their_turn() -> None:
    worker = SimulatedWorker("llama", SLOW, WorkerLimits(running_max=1))
    async with serving(worker) as url, httpx2.AsyncClient(base_url=url, timeout=30) as http:
        calls = [asyncio.create_task(http.post(CHAT, json=question(max_tokens=5, min_tokens=5))) for _ in range(3)]
        await until(lambda: (worker.metrics.running, worker.metrics.waiting) == (1, 2))
        assert {response.status_code for response in await asyncio.gather(*calls)} == {200}
    assert (worker.metrics.running, worker.metrics.waiting, worker.metrics.generation_tokens) == (0, 0, 15)


async def test_too_many_waiting_requests_are_turned_away() -> None:
    worker = SimulatedWorker("llama", SLOW, WorkerLimits(running_max=1, waiting_max=1))
    async with serving(worker) as url, httpx2.AsyncClient(base_url=url, timeout=30) as http:
        endless = question(stream=True, max_tokens=100_000, ignore_eos=True)
        async with http.stream("POST", CHAT, json=endless):
            waiting = asyncio.create_task(http.post(CHAT, json=question(max_tokens=1)))
            await until(lambda: worker.metrics.waiting == 1)
            turned_away = await http.post(CHAT, json=question())
            assert turned_away.status_code == 503
        assert (await waiting).status_code == 200


async def test_a_client_that_leaves_the_queue_takes_no_slot() -> None:
    worker = SimulatedWorker("llama", SLOW, WorkerLimits(running_max=1))
    async with serving(worker) as url, httpx2.AsyncClient(base_url=url, timeout=30) as http:
        endless = question(stream=True, max_tokens=100_000, ignore_eos=True)
        async with http.stream("POST", CHAT, json=endless):
            await hang_up_after(url, 0, {"max_tokens": 50, "min_tokens": 50})
            await until(lambda: worker.metrics.waiting == 1)
        await until(lambda: worker.metrics.finished["abort"] == 2)
    assert worker.metrics.finished["length"] == 0
    assert worker.metrics.prompt_tokens == 5  # Of the one that ran.


def test_a_token_is_due_after_the_prompt_was_read() -> None:
    speed = Speed("test", input_tokens_per_s=1000, output_us_per_token=10_000)
    assert speed.token_due_s(500, 1) == pytest.approx(0.51)
    assert speed.token_due_s(500, 100) == pytest.approx(1.5)


def test_faster_hardware_is_faster() -> None:
    h100, h200, b200 = (named(name) for name in ("h100", "h200", "b200"))
    assert h100.token_due_s(1000, 100) > h200.token_due_s(1000, 100) > b200.token_due_s(1000, 100)
    assert named("max").token_due_s(1000, 100) == 0


def test_an_unknown_speed_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownSpeed, match=", ".join(SPEEDS)):
        named("tpu")
