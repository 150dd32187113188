"""Callers that send slowly, or take slowly: none of them can hold the gateway, or fill it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.snapshot import build
from gateway.upstream import PAUSE_READING_BYTES
from tests.gateway.running import (
    TIMEOUT_S,
    FixedSnapshots,
    Running,
    chat,
    http_request,
    parsed,
    rows,
    running_gateway,
    until,
)
from tests.gateway.upstreams import (
    DONE,
    LAST_CHUNK,
    STREAM_HEAD,
    USAGE,
    Received,
    Upstream,
    chunk,
    completion,
    event,
    says,
    says_and_waits,
    vllm_stream,
    whole,
)

HELLO = http_request(json.dumps(chat()).encode())
TRICKLE_S = 0.02


async def trickle(port: int, sent: bytes) -> bytes:
    """Send a byte now and then until the server ends the connection; what it said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    reading = asyncio.ensure_future(reader.read())
    async with asyncio.timeout(TIMEOUT_S):
        for place in range(len(sent)):
            if writer.transport.is_closing() or reading.done():
                break
            writer.write(sent[place : place + 1])
            await asyncio.sleep(TRICKLE_S)
        try:
            return await reading
        finally:
            writer.transport.abort()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(HELLO, id="head"),
        pytest.param(b"POST /v1/chat/completions HTTP/1.1\r\nx: " + b"y" * 10_000, id="endless head"),
        pytest.param(HELLO[-10:], id="no head"),
    ],
)
async def test_a_head_that_comes_too_slowly_is_408(home: Path, upstream: Upstream, sent: bytes) -> None:
    snapshots = FixedSnapshots(build(rows(upstream.base_url)))
    async with running_gateway(home, snapshots, request_timeout_s=0.2) as gateway:
        answered = parsed(await trickle(gateway.port, sent))
        assert answered.status in (400, 408)
        assert gateway.records() == []


async def test_a_body_that_comes_too_slowly_is_408_and_leaves_nothing_behind(home: Path, upstream: Upstream) -> None:
    snapshots = FixedSnapshots(build(rows(upstream.base_url)))
    async with running_gateway(home, snapshots, request_timeout_s=0.2) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(HELLO[:-5])
        async with asyncio.timeout(TIMEOUT_S):
            answered = parsed(await reader.read())
        writer.close()
        assert (answered.status, answered.error["code"]) == (408, "request_timeout")
        await until(lambda: gateway.gateway.requests_open == 0)
        assert gateway.records() == []


async def test_a_connection_on_which_nothing_comes_is_closed(home: Path, upstream: Upstream) -> None:
    snapshots = FixedSnapshots(build(rows(upstream.base_url)))
    async with running_gateway(home, snapshots, request_timeout_s=0.2) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        async with asyncio.timeout(TIMEOUT_S):
            assert await reader.read() == b""
        writer.close()


async def test_a_second_request_that_never_becomes_whole_is_408(home: Path, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    snapshots = FixedSnapshots(build(rows(upstream.base_url)))
    async with running_gateway(home, snapshots, request_timeout_s=0.2) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(HELLO.replace(b"connection: close", b"x: y") + HELLO[:20])
        async with asyncio.timeout(TIMEOUT_S):
            answered = await reader.read()
        writer.close()
        assert answered.startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 408 " in answered


async def test_an_answer_that_takes_longer_than_its_request_may_is_not_cut(home: Path, upstream: Upstream) -> None:
    first, *others = map(chunk, vllm_stream(["To", " be"]))
    longer = asyncio.Event()

    async def answer(request: Received, transport: asyncio.Transport) -> None:
        transport.write(STREAM_HEAD + first)
        await longer.wait()
        await says(*others, LAST_CHUNK)(request, transport)

    upstream.answer = answer
    snapshots = FixedSnapshots(build(rows(upstream.base_url)))
    async with running_gateway(home, snapshots, request_timeout_s=0.1) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(http_request(json.dumps(chat(stream=True)).encode()))
        await reader.readuntil(b"data: ")
        asyncio.get_running_loop().call_later(0.5, longer.set)
        async with asyncio.timeout(TIMEOUT_S):
            assert DONE in await reader.read()
        writer.close()
        assert (await gateway.event()).outcome == "completed"


async def test_a_caller_that_takes_nothing_keeps_no_more_of_its_stream_here_than_the_limit(
    gateway: Running, upstream: Upstream
) -> None:
    """Counted at the upstream: what it could give away, less what the kernel's buffers and the caller's hold."""
    large = chunk(event("x" * 100_000))
    taken = 0
    full = asyncio.Event()

    async def answer(request: Received, transport: asyncio.Transport) -> None:
        nonlocal taken
        transport.write(STREAM_HEAD)
        while taken < 200_000_000:
            transport.write(large)
            taken += len(large)
            if transport.get_write_buffer_size() == 0:
                await asyncio.sleep(0)
                continue
            async with asyncio.timeout(TIMEOUT_S):
                for _ in range(50):  # Nothing is taken any more once nothing was for so many looks.
                    before = transport.get_write_buffer_size()
                    await asyncio.sleep(0.005)
                    if transport.get_write_buffer_size() < before:
                        break
                else:
                    break
        taken -= transport.get_write_buffer_size()
        full.set()
        transport.write(chunk(event(usage=USAGE)) + chunk(DONE) + LAST_CHUNK)

    upstream.answer = answer
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
    writer.write(http_request(json.dumps(chat(stream=True)).encode()))
    await asyncio.wait_for(full.wait(), 30)
    buffered = sum(len(piece) for each in gateway_connections(gateway) for piece in each._pieces)
    assert buffered <= PAUSE_READING_BYTES + 300_000  # The pause comes with the read that goes over the limit.
    assert taken < 30_000_000
    writer.transport.abort()


def gateway_connections(gateway: Running) -> list[Any]:
    plane = gateway.gateway._plane
    assert plane is not None
    return [each for pool in plane.upstreams._pools.values() for each in pool.connections]


async def test_a_caller_that_waits_for_the_first_byte_is_not_taken_for_a_slow_one(
    home: Path, upstream: Upstream
) -> None:
    upstream.answer = says_and_waits()
    snapshots = FixedSnapshots(build(rows(upstream.base_url)))
    async with running_gateway(home, snapshots, request_timeout_s=0.1, first_byte_timeout_s=0.6) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(HELLO)
        async with asyncio.timeout(TIMEOUT_S):
            assert parsed(await reader.read()).status == 504
        writer.close()
