"""SIGTERM to a real gateway process: what runs may end within the grace period, and what is left is settled."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from config.ports import free_ports
from gateway.snapshot import pack
from metering.records import Closed, Opened, Record
from metering.usage import Usage
from tests.gateway.running import chat, http_request, parsed, rows
from tests.gateway.upstreams import (
    DONE,
    LAST_CHUNK,
    PROMPT,
    STREAM_HEAD,
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
from tests.metering.journals import read_all

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 30
STREAMED = http_request(json.dumps(chat(stream=True)).encode())
BUFFERED = http_request(json.dumps(chat()).encode())


@asynccontextmanager
async def web_process(
    home: Path, upstream: Upstream, grace_s: int
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A gateway process of its own, which has only its saved snapshot; killed at the end where it still runs."""
    home.mkdir(exist_ok=True)
    (home / "snapshot.msgpack").write_bytes(pack(rows(upstream.base_url)))
    (port,) = free_ports(1)
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("TOKENWORKS_", "DATABASE_", "REDIS_"))
    }
    own = {"TOKENWORKS_HOME": str(home), "TOKENWORKS_PORT": str(port), "TOKENWORKS_PLANES": "gateway"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "config.web", cwd=ROOT, env=kept | own | {"TOKENWORKS_GRACE_S": str(grace_s)},
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await until_answering(port)
        yield process, port
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until_answering(port: int) -> None:
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def is_refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return True
    writer.close()
    return False


def records(home: Path) -> list[Record]:
    return read_all(home / "journal" / "gateway-1")


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_request_that_runs_when_the_process_is_told_to_end_gets_its_whole_answer(
    tmp_path: Path, upstream: Upstream, streamed: bool
) -> None:
    go_on = asyncio.Event()
    first, *others = map(chunk, vllm_stream(["To", " be"]))

    async def answer(request: Received, transport: asyncio.Transport) -> None:
        if streamed:
            transport.write(STREAM_HEAD + first)
        await go_on.wait()
        await says(*([*others, LAST_CHUNK] if streamed else [whole(completion())]))(request, transport)

    upstream.answer = answer
    async with web_process(tmp_path / "home", upstream, grace_s=20) as (process, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(STREAMED if streamed else BUFFERED)
        await upstream.arrived.wait()
        process.terminate()
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await is_refused(port):
                await asyncio.sleep(0.02)
            go_on.set()
            answered = parsed(await reader.read())
            assert await process.wait() in (0, -15)
        writer.close()
    assert answered.status == 200
    assert answered.body.endswith(DONE) if streamed else answered.body == completion()
    opened, closed = records(tmp_path / "home")
    assert isinstance(opened, Opened)
    assert isinstance(closed, Closed)
    assert (closed.outcome, closed.billed) == ("completed", True)


async def test_what_is_left_after_the_grace_period_is_settled_and_stays_so_after_a_restart(
    tmp_path: Path, upstream: Upstream
) -> None:
    home = tmp_path / "home"
    upstream.answer = says_and_waits(STREAM_HEAD, chunk(event("a", running(PROMPT, 1))))
    async with web_process(home, upstream, grace_s=1) as (process, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(STREAMED)
        await reader.readuntil(b"data: ")
        process.terminate()
        async with asyncio.timeout(START_TIMEOUT_S):
            assert DONE not in await reader.read()
            assert await process.wait() in (0, -15)
        writer.close()
    async with web_process(home, upstream, grace_s=1) as (process, _):
        process.terminate()
        await process.wait()
    (closed,) = [each for each in records(home) if isinstance(each, Closed)]
    assert (closed.outcome, closed.billed) == ("interrupted", False)
    assert closed.usage == Usage(input_uncached=PROMPT, output=1)


async def test_what_a_killed_process_left_open_is_settled_when_it_is_started_again(
    tmp_path: Path, upstream: Upstream
) -> None:
    home = tmp_path / "home"
    upstream.answer = says_and_waits(STREAM_HEAD, chunk(event("a", running(PROMPT, 1))))
    async with web_process(home, upstream, grace_s=1) as (process, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(STREAMED)
        await reader.readuntil(b"data: ")
        process.kill()
        await process.wait()
        writer.close()
    assert [type(each) for each in records(home)] == [Opened]
    async with web_process(home, upstream, grace_s=1) as (process, _):
        process.terminate()
        await process.wait()
    (closed,) = [each for each in records(home) if isinstance(each, Closed)]
    assert (closed.outcome, closed.usage, closed.billed) == ("interrupted", Usage(), False)
