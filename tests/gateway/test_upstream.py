"""The HTTP client for upstreams: what is kept alive, what is not, and what is limited."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import pool
from gateway.answer import AnswerLimits
from gateway.pool import UpstreamClient
from gateway.troubles import ConnectFailed, NoConnectionFree, UpstreamCut
from gateway.upstream import PAUSE_READING_BYTES, Connection
from tests.gateway.upstreams import (
    LAST_CHUNK,
    STREAM_HEAD,
    Answer,
    Received,
    Upstream,
    chunk,
    head,
    says,
    says_and_hangs_up,
    says_and_waits,
    whole,
)

LIMITS = AnswerLimits(head_bytes_max=10_000, answer_bytes_max=1 << 20, first_byte_timeout_s=5.0, idle_timeout_s=5.0)


@pytest.fixture
async def client() -> AsyncIterator[UpstreamClient]:
    client = UpstreamClient(LIMITS, connect_timeout_s=1.0, connections_max=2)
    yield client
    client.close()
    await asyncio.sleep(0)


async def ask(client: UpstreamClient, upstream: Upstream, body: bytes = b"{}") -> tuple[int, bytes]:
    connection = await client.connection(upstream.base_url)
    try:
        connection.send(b"/v1/x", b"", body)
        return await connection.head(), await connection.read_all()
    finally:
        connection.release()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(says(whole(b"hello")), id="content-length"),
        pytest.param(says(STREAM_HEAD, chunk(b"hel"), chunk(b"lo"), LAST_CHUNK), id="chunked"),
        pytest.param(says(head(status="204 No Content") + b""), id="no body"),
    ],
)
async def test_a_whole_answer_leaves_its_connection_to_the_next(
    client: UpstreamClient, upstream: Upstream, answer: Answer
) -> None:
    upstream.answer = answer
    for _ in range(3):
        status, body = await ask(client, upstream)
        assert (status, body) in ((200, b"hello"), (204, b""))
    assert upstream.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(says(whole(b"hello", "connection: close")), id="said to close"),
        pytest.param(says(whole(b"hello").replace(b"HTTP/1.1", b"HTTP/1.0")), id="HTTP/1.0"),
        pytest.param(says(whole(b"hello") + whole(b"smuggled")), id="a second answer behind the first"),
        pytest.param(says_and_hangs_up(head() + b"hello"), id="ends with its connection"),
    ],
)
async def test_a_connection_that_cannot_be_trusted_is_not_used_again(
    client: UpstreamClient, upstream: Upstream, answer: Answer
) -> None:
    upstream.answer = answer
    for _ in range(2):
        assert await ask(client, upstream) == (200, b"hello")
    assert upstream.connections == 2


async def ask_for_the_whole(client: UpstreamClient, upstream: Upstream) -> tuple[bytes, int | None]:
    connection = await client.connection(upstream.base_url)
    try:
        connection.send(b"/v1/x", b"", b"{}")
        async with asyncio.timeout(LIMITS.first_byte_timeout_s):
            return await connection.whole(), connection.answered
    finally:
        connection.release()


async def test_a_body_that_comes_in_many_reads_is_given_as_a_whole(client: UpstreamClient, upstream: Upstream) -> None:
    body = bytes(3 * PAUSE_READING_BYTES)
    upstream.answer = says(head(f"content-length: {len(body)}"), body[:1], body[1:-1], body[-1:])
    assert await ask_for_the_whole(client, upstream) == (body, 200)


async def test_a_whole_answer_after_an_interim_one_is_the_answer(client: UpstreamClient, upstream: Upstream) -> None:
    upstream.answer = says(head(status="103 Early Hints"), whole(b"hello"))
    assert await ask_for_the_whole(client, upstream) == (b"hello", 200)


async def test_of_what_is_no_success_only_the_head_is_waited_for(client: UpstreamClient, upstream: Upstream) -> None:
    upstream.answer = says_and_waits(head("content-length: 5", status="500 No"))
    assert await ask_for_the_whole(client, upstream) == (b"", 500)


async def test_bytes_that_nobody_asked_for_close_an_idle_connection(client: UpstreamClient, upstream: Upstream) -> None:
    async def answer(request: Received, transport: asyncio.Transport) -> None:
        transport.write(whole(b"hello"))
        await asyncio.sleep(0.05)
        transport.write(whole(b"injected"))

    upstream.answer = answer
    assert await ask(client, upstream) == (200, b"hello")
    await asyncio.wait_for(upstream.left.wait(), 5)
    assert await ask(client, upstream) == (200, b"hello")


async def test_an_answer_before_the_request_was_taken_closes_the_connection(
    client: UpstreamClient, upstream: Upstream
) -> None:
    """What is unsent would be read as the beginning of the next request."""

    rude: list[asyncio.Transport] = []

    class Rude(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            rude.append(transport)  # type: ignore[arg-type]  # uvloop's is no subclass

        def data_received(self, data: bytes) -> None:
            rude[0].pause_reading()
            rude[0].write(whole(b"no"))

    server = await asyncio.get_running_loop().create_server(Rude, "127.0.0.1", 0)
    connection = await client.connection(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    connection.send(b"/v1/x", b"", b"x" * (20 << 20))
    body = await connection.read_all()
    connection.release()
    rude[0].abort()
    server.close()
    assert (body, connection.closed) == (b"no", True)


async def test_an_unread_answer_ends_with_its_connection(client: UpstreamClient, upstream: Upstream) -> None:
    upstream.answer = says_and_waits(STREAM_HEAD, chunk(b"hello"))
    connection = await client.connection(upstream.base_url)
    connection.send(b"/v1/x", b"", b"")
    assert await connection.read() == b"hello"
    connection.release()
    await asyncio.wait_for(upstream.left.wait(), 5)


async def test_the_end_of_a_stream_may_come_after_it_was_given_back(client: UpstreamClient, upstream: Upstream) -> None:
    end = asyncio.Event()

    async def answer(request: Received, transport: asyncio.Transport) -> None:
        transport.write(STREAM_HEAD + chunk(b"hello"))
        await end.wait()
        transport.write(chunk(b"more") + LAST_CHUNK)

    upstream.answer = answer
    connection = await client.connection(upstream.base_url)
    connection.send(b"/v1/x", b"", b"")
    await connection.read()
    connection.release(lingering=True)
    end.set()
    async with asyncio.timeout(5):
        while connection.busy:
            await asyncio.sleep(0.01)
    assert await client.connection(upstream.base_url) is connection


async def test_a_stream_that_never_ends_after_its_last_event_is_closed(
    client: UpstreamClient, upstream: Upstream
) -> None:
    upstream.answer = says_and_waits(STREAM_HEAD, chunk(b"hello"))
    connection = await client.connection(upstream.base_url)
    connection.send(b"/v1/x", b"", b"")
    await connection.read()
    connection.release(lingering=True)
    await asyncio.wait_for(upstream.left.wait(), 5)


async def test_an_idle_connection_is_closed_before_its_server_would(
    client: UpstreamClient, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "KEEP_ALIVE_S", 0.1)
    upstream.answer = says(whole(b"hello"))
    await ask(client, upstream)
    await asyncio.wait_for(upstream.left.wait(), 5)


async def test_connections_to_one_upstream_are_limited(client: UpstreamClient, upstream: Upstream) -> None:
    held: list[Connection] = [await client.connection(upstream.base_url) for _ in range(2)]
    with pytest.raises(NoConnectionFree):
        await client.connection(upstream.base_url)
    held[0].close()
    await client.connection(upstream.base_url)


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "http://no-such-host.invalid:80", "https://127.0.0.1:1"])
async def test_what_cannot_be_reached_says_so_before_anything_is_sent(client: UpstreamClient, address: str) -> None:
    with pytest.raises(ConnectFailed):
        await client.connection(address)


async def test_closing_the_client_cuts_what_is_being_read(client: UpstreamClient, upstream: Upstream) -> None:
    upstream.answer = says_and_waits()
    connection = await client.connection(upstream.base_url)
    connection.send(b"/v1/x", b"", b"")
    reading = asyncio.ensure_future(connection.head())
    await asyncio.wait_for(upstream.arrived.wait(), 5)
    client.close()
    with pytest.raises(UpstreamCut):
        await reading


async def test_a_certificate_that_the_system_does_not_trust_is_refused_and_one_it_trusts_is_taken(
    client: UpstreamClient, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(whole(b"secret"))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    upstream.base_url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(ConnectFailed, match="certificate verify failed"):
        await client.connection(upstream.base_url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    trusting = UpstreamClient(LIMITS, connect_timeout_s=1.0, connections_max=2)
    assert await ask(trusting, upstream) == (200, b"secret")
    trusting.close()
    server.close()
    await asyncio.sleep(0.05)
