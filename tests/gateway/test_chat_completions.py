"""Chat completions through a real server, with the official SDK as the client."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from gateway.snapshot import build
from metering.records import Opened
from metering.usage import Usage
from tests.gateway.running import (
    ALICE_KEY,
    MODEL,
    FixedSnapshots,
    Running,
    chat,
    deployment,
    http_request,
    post,
    rows,
)
from tests.gateway.upstreams import (
    CACHED,
    COMPLETION,
    DONE,
    LAST_CHUNK,
    PROMPT,
    REASONING,
    STREAM_HEAD,
    USAGE,
    Upstream,
    chunk,
    completion,
    event,
    says,
    streams,
    vllm_stream,
    whole,
)

WORDS = ["To", " be", " or", " not"]
COUNTED = Usage(input_uncached=PROMPT - CACHED, input_cached=CACHED, output=COMPLETION - REASONING, reasoning=REASONING)
MESSAGES: list[Any] = [{"role": "user", "content": "Say hello"}]


@pytest.fixture
async def client(gateway: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=ALICE_KEY, max_retries=0) as client:
        yield client


async def test_an_answer_reaches_the_sdk_and_its_usage_the_journal(
    client: openai.AsyncOpenAI, gateway: Running, upstream: Upstream
) -> None:
    upstream.answer = says(whole(completion()))
    answer = await client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert answer.choices[0].message.content == "Hello there"
    event = await gateway.event()
    assert (event.outcome, event.usage_source, event.billed) == ("completed", "reported", True)
    assert event.usage == COUNTED
    assert (event.opened.tenant_id, event.opened.project_id, event.opened.api_key_id) == (1, 101, 11)
    assert (event.opened.offering, event.opened.deployment, event.opened.streamed) == (MODEL, "llama-at-pool", False)
    assert event.upstream_status == 200
    assert json.loads(event.upstream_usage or b"") == USAGE


async def test_a_streamed_answer_reaches_the_sdk_and_its_usage_the_journal(
    client: openai.AsyncOpenAI, gateway: Running, upstream: Upstream
) -> None:
    upstream.answer = streams(*vllm_stream(WORDS))
    stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == "To be or not"
    event = await gateway.event()
    assert (event.outcome, event.usage_source, event.billed) == ("completed", "reported", True)
    assert event.usage == COUNTED
    assert event.opened.streamed


async def test_the_event_is_opened_before_it_leaves_and_named_by_the_request_id(
    gateway: Running, upstream: Upstream
) -> None:
    seen = []

    async def answer(request: Any, transport: asyncio.Transport) -> None:
        seen.extend(gateway.records())
        await says(whole(completion()))(request, transport)

    upstream.answer = answer
    answered = await post(gateway, chat())
    (opened,) = seen
    assert isinstance(opened, Opened)
    assert answered.headers["x-request-id"].replace("-", "") == opened.event_id.hex()
    assert int.from_bytes(opened.event_id[:6]) == opened.opened_at_us // 1000
    assert upstream.received[0].headers["x-request-id"] == answered.headers["x-request-id"]


async def test_the_blocking_sdk_is_answered_too(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))

    def ask() -> str | None:
        with openai.OpenAI(base_url=gateway.base_url, api_key=ALICE_KEY, max_retries=0) as client:
            return client.chat.completions.create(model=MODEL, messages=MESSAGES).choices[0].message.content

    assert await asyncio.to_thread(ask) == "Hello there"


async def test_a_body_that_needs_no_change_goes_on_byte_for_byte(
    gateway: Running, upstream: Upstream, snapshots: FixedSnapshots
) -> None:
    snapshots.current = build(rows(upstream.base_url, deployments=[deployment(model_name=MODEL)]))
    upstream.answer = says(whole(completion()))
    body = (
        b'{"model":"llama-3.3-70b","messages":[ {"role":"user","content":"\\u00e4 1.0e2"} ],"seed":1.50,"x":{"b" :1}}'
    )
    await post(gateway, body)
    assert upstream.received[0].body == body


@pytest.mark.parametrize("streamed", [b"false", b"true"])
@pytest.mark.parametrize("model_name", [MODEL, "model-at-worker"])
@pytest.mark.parametrize("space", [b"", b" "])
async def test_a_name_that_stands_twice_reaches_the_upstream_once_with_the_value_that_we_checked(
    gateway: Running, upstream: Upstream, snapshots: FixedSnapshots, model_name: str, streamed: bytes, space: bytes
) -> None:
    snapshots.current = build(rows(upstream.base_url, deployments=[deployment(model_name=model_name)]))
    upstream.answer = streams(*vllm_stream(WORDS)) if streamed == b"true" else says(whole(completion()))
    twice = (b'"max_tokens":4000', b'"n":9', b'"model":"other"', b'"max_tokens":5', b'"n":1', b'"m\\u006fdel":"%b"')
    body = b"{" + b",".join((*twice, b'"messages":[{}]', b'"stream":%b')) + space + b"}"
    assert (await post(gateway, body % (MODEL.encode(), streamed))).status == 200
    pairs = json.loads(upstream.received[0].body, object_pairs_hook=list)
    assert len(pairs) == len(dict(pairs))
    seen = dict(pairs)
    assert (seen["max_tokens"], seen["n"], seen["model"]) == (5, 1, model_name)


async def test_values_pass_byte_for_byte_where_the_model_name_changes(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    await post(
        gateway, b'{"model":"llama-3.3-70b", "messages": [ {"role":"user"} ], "top_p":1.50, "x":{"b" :1,"a":"\\u00e4"}}'
    )
    assert upstream.received[0].body == (
        b'{"model":"model-at-worker","messages":[ {"role":"user"} ],"top_p":1.50,"x":{"b" :1,"a":"\\u00e4"}}'
    )


async def test_the_callers_key_and_headers_stay_here(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    await post(gateway, chat())
    assert set(upstream.received[0].headers) == {
        "host", "content-type", "accept", "accept-encoding", "user-agent", "x-request-id", "content-length",
    }  # fmt: skip


async def test_an_answer_passes_byte_for_byte(gateway: Running, upstream: Upstream) -> None:
    body = b'{ "choices":[ {"message":{"content":"\\u00e4"}} ],\n"usage" : {"prompt_tokens":1,"completion_tokens":2} }'
    upstream.answer = says(whole(body))
    answered = await post(gateway, chat())
    assert (answered.status, answered.body) == (200, body)
    assert answered.headers["content-type"] == "application/json"


@pytest.mark.parametrize("asked", [None, {}, {"include_usage": False}, {"include_usage": True}])
async def test_a_stream_always_asks_the_upstream_for_every_count(
    gateway: Running, upstream: Upstream, asked: Any
) -> None:
    upstream.answer = streams(*vllm_stream(WORDS))
    await post(gateway, chat(stream=True, stream_options=asked))
    assert upstream.received[0].json["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}


async def test_other_stream_options_pass(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = streams(*vllm_stream(WORDS))
    await post(gateway, chat(stream=True, stream_options={"include_obfuscation": False}))
    assert upstream.received[0].json["stream_options"]["include_obfuscation"] is False


BARE = [event(""), *map(event, WORDS), event("", finish="stop")]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, [*BARE, DONE]),
        ({"include_usage": False, "continuous_usage_stats": True}, [*BARE, DONE]),
        ({"include_usage": True}, [*BARE, event(usage=USAGE), DONE]),
        ({"include_usage": True, "continuous_usage_stats": True}, vllm_stream(WORDS)),
    ],
)
async def test_the_caller_sees_the_usage_it_asked_for_and_no_more(
    gateway: Running, upstream: Upstream, asked: Any, expected: list[bytes]
) -> None:
    upstream.answer = streams(*vllm_stream(WORDS))
    answered = await post(gateway, chat(stream=True, stream_options=asked))
    assert answered.headers["content-type"].startswith("text/event-stream")
    assert answered.body == b"".join(expected)


async def test_the_last_event_waits_until_the_closed_record_is_written(gateway: Running, upstream: Upstream) -> None:
    release = asyncio.Event()

    async def answer(request: Any, transport: asyncio.Transport) -> None:
        await says(STREAM_HEAD, *map(chunk, vllm_stream(WORDS)[:-1]))(request, transport)
        await release.wait()
        await says(chunk(DONE), LAST_CHUNK)(request, transport)

    upstream.answer = answer
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(http_request(json.dumps(chat(stream=True)).encode()))
    await reader.readuntil(b"stop")
    assert gateway.events() == []
    release.set()
    await reader.readuntil(b"[DONE]")
    assert len(gateway.events()) == 1
    writer.close()
