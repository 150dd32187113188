"""What stands between a caller's socket and the gateway: one connection, many requests."""

import asyncio
import json

import pytest

from gateway.front import BoundedHttp
from tests.gateway.running import ALICE_KEY, TIMEOUT_S, Running, chat, exchange, http_request
from tests.gateway.upstreams import Upstream, completion, says, whole


def kept_alive(text: str = "Hello") -> bytes:
    body = json.dumps(chat() | {"user": text}).encode()
    return http_request(body).replace(b"connection: close\r\n", b"")


async def read_answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    async with asyncio.timeout(TIMEOUT_S):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head, await reader.readexactly(length)


async def test_requests_sent_at_once_are_answered_one_after_the_other(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(kept_alive("first") + kept_alive("second") + kept_alive("third"))
    answers = [await read_answer(reader) for _ in range(3)]
    writer.close()
    assert [body for _, body in answers] == [completion()] * 3
    assert [request.json["user"] for request in upstream.received] == ["first", "second", "third"]
    assert len({head.partition(b"x-request-id: ")[2] for head, _ in answers}) == 3


async def test_a_connection_takes_another_request_after_an_answer(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    for _ in range(3):
        writer.write(kept_alive())
        assert (await read_answer(reader))[1] == completion()
    writer.close()
    assert len(gateway.events()) == 3


async def test_a_body_that_comes_in_many_pieces_reaches_the_worker_whole(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    sent = kept_alive("x" * 300_000)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    for start in range(0, len(sent), 70_001):
        writer.write(sent[start : start + 70_001])
        await writer.drain()
        await asyncio.sleep(0)
    await read_answer(reader)
    writer.close()
    assert upstream.received[0].json["user"] == "x" * 300_000


async def test_a_client_that_waits_for_leave_to_send_its_body_gets_it(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    head, _, body = kept_alive().partition(b"\r\n\r\n")
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(head + b"\r\nexpect: 100-continue\r\n\r\n")
    async with asyncio.timeout(TIMEOUT_S):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await read_answer(reader))[1] == completion()
    writer.close()


async def test_the_answer_to_head_has_no_body(gateway: Running) -> None:
    answered = await exchange(gateway.port, http_request(method="HEAD", path="/v1/models", key=ALICE_KEY))
    assert (answered.status, answered.body) == (405, b"")


async def test_an_idle_connection_is_ended(
    gateway: Running, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = BoundedHttp.connection_made

    def made_impatient(front: BoundedHttp, transport: asyncio.Transport) -> None:
        made(front, transport)
        front.timeout_keep_alive = 0

    monkeypatch.setattr(BoundedHttp, "connection_made", made_impatient)
    upstream.answer = says(whole(completion()))
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(kept_alive())
    await read_answer(reader)
    async with asyncio.timeout(TIMEOUT_S):
        assert await reader.read() == b""
    writer.close()
