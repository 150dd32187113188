"""Callers that hang up: every request has its event, with what was made until then."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.snapshot import build
from metering.usage import Usage
from tests.gateway.running import FixedSnapshots, Running, chat, http_request, post, rows, running_gateway
from tests.gateway.upstreams import (
    DONE,
    LAST_CHUNK,
    PROMPT,
    STREAM_HEAD,
    USAGE,
    Received,
    Upstream,
    chunk,
    completion,
    event,
    running,
    says,
    says_and_waits,
    vllm_stream,
    whole,
)

EVENTS = vllm_stream(["To", " be", " or"])
RUNNING = {"include_usage": True, "continuous_usage_stats": True}


async def hang_up(
    gateway: Running, body: dict[str, Any], when: Callable[[asyncio.StreamReader], Awaitable[Any]]
) -> None:
    """Send a request, and close the connection when the moment has come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(http_request(json.dumps(body).encode()))
    await when(reader)
    writer.transport.abort()
    await asyncio.sleep(0)


async def test_a_caller_that_leaves_within_a_stream_pays_what_was_made_and_the_worker_is_freed(
    gateway: Running, upstream: Upstream
) -> None:
    upstream.answer = says_and_waits(STREAM_HEAD, *map(chunk, EVENTS[:3]))
    await hang_up(gateway, chat(stream=True), lambda reader: reader.readuntil(b" be"))
    await asyncio.wait_for(upstream.left.wait(), 5)
    recorded = await gateway.event()
    assert (recorded.outcome, recorded.usage_source, recorded.billed) == ("client_disconnected", "running_count", True)
    assert recorded.usage == Usage(input_uncached=PROMPT, output=2)


async def test_a_caller_that_leaves_before_the_first_byte_of_a_stream_pays_nothing_and_is_recorded(
    gateway: Running, upstream: Upstream
) -> None:
    upstream.answer = says_and_waits()
    await hang_up(gateway, chat(stream=True), lambda _: upstream.arrived.wait())
    await asyncio.wait_for(upstream.left.wait(), 5)
    recorded = await gateway.event()
    assert (recorded.outcome, recorded.usage_source, recorded.billed) == ("client_disconnected", "none", False)


async def test_a_caller_that_reads_the_answer_and_leaves_before_the_usage_event_pays_for_it(
    gateway: Running, upstream: Upstream
) -> None:
    upstream.answer = says_and_waits(STREAM_HEAD, *map(chunk, EVENTS[:-2]))
    await hang_up(gateway, chat(stream=True, stream_options=RUNNING), lambda reader: reader.readuntil(b'"stop"'))
    recorded = await gateway.event()
    assert (recorded.outcome, recorded.billed) == ("client_disconnected", True)
    assert recorded.usage == Usage(input_uncached=PROMPT, output=28)


async def test_a_caller_that_asks_for_many_answers_and_leaves_pays_for_all_of_them_and_not_for_the_last_one_seen(
    gateway: Running, upstream: Upstream
) -> None:
    answers = [event("x", running(PROMPT, written), choice=choice) for written in (1, 2) for choice in range(5)]
    upstream.answer = says_and_waits(STREAM_HEAD, *map(chunk, [*answers, event("last", running(PROMPT, 3))]))
    await hang_up(gateway, chat(stream=True, n=5), lambda reader: reader.readuntil(b"last"))
    recorded = await gateway.event()
    assert (recorded.outcome, recorded.usage_source, recorded.billed) == ("client_disconnected", "running_count", True)
    assert recorded.usage == Usage(input_uncached=PROMPT, output=3 + 2 + 2 + 2 + 2)


async def test_a_caller_that_leaves_before_an_answer_in_one_piece_pays_for_it_in_full(
    gateway: Running, upstream: Upstream
) -> None:
    gone = asyncio.Event()

    async def answer(request: Received, transport: asyncio.Transport) -> None:
        await gone.wait()
        await says(whole(completion(running(PROMPT, 28))))(request, transport)

    upstream.answer = answer
    await hang_up(gateway, chat(), lambda _: upstream.arrived.wait())
    await asyncio.sleep(0.05)  # The gateway's kernel has seen the reset; nothing tells us so.
    gone.set()
    recorded = await gateway.event()
    assert (recorded.outcome, recorded.usage_source, recorded.billed) == ("client_disconnected", "reported", True)
    assert recorded.usage == Usage(input_uncached=PROMPT, output=28)
    assert not upstream.left.is_set()


async def test_a_caller_that_takes_nothing_and_stays_is_cut_off(home: Any, upstream: Upstream) -> None:
    async def answer(request: Received, transport: asyncio.Transport) -> None:
        transport.write(STREAM_HEAD)
        for number in range(1, 200):
            transport.write(chunk(event("x" * 100_000, running(PROMPT, number))))
        await asyncio.Event().wait()

    upstream.answer = answer
    snapshots = FixedSnapshots(build(rows(upstream.base_url)))
    async with running_gateway(home, snapshots, idle_timeout_s=0.5) as gateway:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
        writer.write(http_request(json.dumps(chat(stream=True)).encode()))
        recorded = await gateway.event()
        writer.transport.abort()
    assert (recorded.outcome, recorded.usage_source, recorded.billed) == ("client_disconnected", "running_count", True)


async def test_a_slow_caller_makes_the_upstream_wait(gateway: Running, upstream: Upstream) -> None:
    paused = asyncio.Event()
    large = chunk(event("x" * 100_000))

    async def answer(request: Received, transport: asyncio.Transport) -> None:
        transport.write(STREAM_HEAD)
        for _ in range(250):
            transport.write(large)
            await asyncio.sleep(0)
        if transport.get_write_buffer_size() > 0:
            paused.set()
        transport.write(chunk(event(usage=USAGE)) + chunk(DONE) + LAST_CHUNK)

    upstream.answer = answer
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
    writer.write(http_request(json.dumps(chat(stream=True)).encode()))
    await asyncio.wait_for(paused.wait(), 5)
    size = 0
    while piece := await reader.read(1 << 20):
        size += len(piece)
    writer.close()
    await writer.wait_closed()
    assert size > 25_000_000
    assert (await gateway.event()).outcome == "completed"


async def test_the_connection_to_the_worker_outlives_a_whole_stream(gateway: Running, upstream: Upstream) -> None:
    for _ in range(3):
        upstream.answer = says(STREAM_HEAD, *map(chunk, EVENTS), LAST_CHUNK)
        await post(gateway, chat(stream=True))
    assert upstream.connections == 1


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_request_that_our_shutdown_cuts_is_interrupted_and_not_billed(
    home: Any, upstream: Upstream, streamed: bool
) -> None:
    upstream.answer = says_and_waits(STREAM_HEAD, *map(chunk, EVENTS[:3]))
    async with running_gateway(home, FixedSnapshots(build(rows(upstream.base_url)))) as gateway:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(http_request(json.dumps(chat(stream=streamed)).encode()))
        await upstream.arrived.wait()
    writer.transport.abort()
    recorded = await gateway.event()
    assert (recorded.outcome, recorded.billed) == ("interrupted", False)


async def test_a_caller_that_sends_its_next_request_at_once_and_leaves_pays_for_the_stream_it_was_reading(
    gateway: Running, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.answer = says_and_waits(STREAM_HEAD, *map(chunk, EVENTS[:3]))
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    request = http_request(json.dumps(chat(stream=True)).encode()).replace(b"connection: close", b"x: y")
    writer.write(request * 2)
    await reader.readuntil(b" be")
    writer.transport.abort()
    await asyncio.wait_for(upstream.left.wait(), 5)
    recorded = await gateway.event()
    assert (recorded.outcome, recorded.usage_source, recorded.billed) == ("client_disconnected", "running_count", True)
    assert recorded.usage == Usage(input_uncached=PROMPT, output=2)
    assert "Traceback" not in caplog.text
