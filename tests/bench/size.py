"""Measures how our gateway grows: `make bench-size`, or `python -m tests.bench.size [idle] [streams] [body] [keys]`.

Each starts gateway processes of its own, on embedded servers, in front of an upstream of ours. Nothing is asserted.
"""

import asyncio
import json
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop

from tests.bench.ours import MODEL, Ours, running_gateway

STREAMS = 2_000
STREAM_EVENTS = 20
STREAM_INTERVAL_S = 0.5
BODY_BYTES = 20_000_000
KEYS = (10, 100_000)
KEY_REQUESTS = 8_000
KEY_ROUNDS = 5
KEY_CONNECTIONS = 8

EVENT = {
    "id": "chatcmpl-bench",
    "object": "chat.completion.chunk",
    "created": 1_700_000_000,
    "model": MODEL,
    "choices": [{"index": 0, "delta": {"content": "token "}, "finish_reason": None}],
}
USAGE = {"prompt_tokens": 57, "completion_tokens": 28, "total_tokens": 85}
ANSWER = {"id": "chatcmpl-bench", "object": "chat.completion", "created": 1_700_000_000, "model": MODEL}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "token " * 28}, "finish_reason": "stop"}
WHOLE = json.dumps(ANSWER | {"choices": [CHOICE], "usage": USAGE}).encode()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection of the upstream: it reads requests, and streams slowly where it is asked to stream."""
    try:
        while True:
            body = await body_of(reader)
            if b'"stream":true' in body[-200:]:
                await stream(writer)
            else:
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(WHOLE)
                    + WHOLE
                )
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def stream(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    events = [EVENT] * STREAM_EVENTS + [EVENT | {"choices": [], "usage": USAGE}]
    for event in events:
        writer.write(chunk(b"data: %b\n\n" % json.dumps(event).encode()))
        await asyncio.sleep(STREAM_INTERVAL_S)
    writer.write(chunk(b"data: [DONE]\n\n") + chunk(b""))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def body_of(reader: asyncio.StreamReader) -> bytes:
    """The body of the next request; none of a probe of the worker's health."""
    head = await reader.readuntil(b"\r\n\r\n")
    stated = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return await reader.readexactly(int(stated or 0))


@asynccontextmanager
async def upstream() -> AsyncIterator[str]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=4096)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def request(ours: Ours, **members: object) -> bytes:
    called = {"model": MODEL, "messages": [{"role": "user", "content": "Count."}], **members}
    body = json.dumps(called, separators=(",", ":")).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {ours.secret}\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def idle(worker: str) -> None:
    async with started(worker) as ours:
        print(f"idle gateway process: {ours.rss_mb:.0f} MB resident")


async def streams(worker: str) -> None:
    async with started(worker) as ours:
        asked = request(ours, stream=True)
        running = [asyncio.create_task(whole_stream(ours.port, asked, n / 1000)) for n in range(STREAMS)]
        peak_mb = 0.0
        while not all(task.done() for task in running):
            peak_mb = max(peak_mb, ours.rss_mb)
            await asyncio.sleep(0.1)
        ended = sum(task.exception() is None and task.result() for task in running)
        print(f"{STREAMS} streams open at once: at most {peak_mb:.0f} MB resident, {STREAMS - ended} dropped")


async def whole_stream(port: int, asked: bytes, wait_s: float) -> bool:
    """Whether a stream came whole; they begin within two seconds and last ten."""
    await asyncio.sleep(wait_s)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(asked)
    last = b""
    while not last.endswith(b"0\r\n\r\n"):
        data = await reader.read(65536)
        if not data:
            return False
        last = last[-20:] + data
    writer.close()
    return b"[DONE]" in last


async def body(worker: str) -> None:
    for streamed in (False, True):
        async with started(worker) as ours:
            await exchange(ours, request(ours))
            before_mb = ours.rss_mb
            image = request(ours, user="x" * BODY_BYTES, stream=streamed)
            sending = asyncio.create_task(exchange(ours, image))
            peak_mb = before_mb
            while not sending.done():
                peak_mb = max(peak_mb, ours.rss_mb)
                await asyncio.sleep(0.001)
            copies = (peak_mb - before_mb) * 2**20 / BODY_BYTES
            kind = "streamed" if streamed else "in one piece"
            print(f"body of 20 MB, answer {kind}: {before_mb:.0f} -> {peak_mb:.0f} MB ({copies:.1f} bodies)")


async def exchange(ours: Ours, asked: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ours.port)
    writer.write(asked)
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0], head
    if b"chunked" in head:
        await reader.readuntil(b"[DONE]\n\n")
    else:
        await reader.readexactly(len(WHOLE))
    writer.close()


async def keys(worker: str) -> None:
    async with started(worker, KEYS[0]) as with_few, started(worker, KEYS[1]) as with_many:
        costs: dict[int, list[float]] = {number: [] for number in KEYS}
        for turn in range(KEY_ROUNDS + 1):  # In turn, so that the machine's moods meet both; the first warms up.
            for number, ours in zip(KEYS, (with_few, with_many), strict=True):
                cost_us = await cost_of_a_request_us(ours)
                if turn:
                    costs[number].append(cost_us)
        for number, measured in costs.items():
            spread = f"{min(measured):.1f} to {max(measured):.1f}"
            print(f"{number:>7} keys: {statistics.median(measured):.1f} us of CPU a request ({spread})")
        ratios = [many / one for one, many in zip(*costs.values(), strict=True)]
        lowest = min(costs[KEYS[1]]) / min(costs[KEYS[0]])
        print(f"ratio: {statistics.median(ratios):.3f} (median of {KEY_ROUNDS} rounds), of the lowest {lowest:.3f}")
        print(f"with {KEYS[1]} keys: {with_many.rss_mb:.0f} MB resident")


async def cost_of_a_request_us(ours: Ours) -> float:
    asked = request(ours)
    before_s = ours.cpu_s
    await asyncio.gather(
        *(ask_often(ours.port, asked, KEY_REQUESTS // KEY_CONNECTIONS) for _ in range(KEY_CONNECTIONS))
    )
    return (ours.cpu_s - before_s) / KEY_REQUESTS * 1e6


async def ask_often(port: int, asked: bytes, times: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(times):
        writer.write(asked)
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(WHOLE))
    writer.close()


@asynccontextmanager
async def started(worker: str, number_of_keys: int = KEYS[0]) -> AsyncIterator[Ours]:
    """A gateway, started in a thread beside the loop that serves its upstream."""
    gateway = running_gateway(keys=number_of_keys, worker=worker)
    ours = await asyncio.to_thread(gateway.__enter__)
    try:
        yield ours
    finally:
        await asyncio.to_thread(gateway.__exit__, None, None, None)


MEASUREMENTS = {"idle": idle, "streams": streams, "body": body, "keys": keys}


async def main(names: list[str]) -> None:
    async with upstream() as worker:
        for name in names or MEASUREMENTS:
            await MEASUREMENTS[name](worker)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
