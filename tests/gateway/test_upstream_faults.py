"""Upstreams that fail: the caller is told in OpenAI's shape, and pays nothing."""

import asyncio
import json
from typing import Any

import openai
import pytest

from gateway.snapshot import build
from tests.gateway.running import ALICE_KEY, MODEL, Answered, FixedSnapshots, Running, chat, post, rows, running_gateway
from tests.gateway.upstreams import (
    DONE,
    LAST_CHUNK,
    STREAM_HEAD,
    Answer,
    Upstream,
    chunk,
    completion,
    event,
    head,
    running,
    says,
    says_and_hangs_up,
    says_and_waits,
    streams,
    whole,
)

BODY = b'{"error":{"message":"No.","type":"BadRequestError","param":null,"code":400}}'


async def assert_failed(gateway: Running, answered: Answered, status: int, code: str) -> None:
    assert (answered.status, answered.error["code"], answered.error["type"]) == (status, code, "server_error")
    recorded = await gateway.event()
    assert (recorded.outcome, recorded.billed) == ("upstream_failed", False)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "422 Unprocessable Entity"])
async def test_a_4xx_of_the_upstream_is_relayed_in_openais_shape_and_not_billed(
    gateway: Running, upstream: Upstream, status: str, streamed: bool
) -> None:
    code = int(status[:3])
    said = {"message": "too long", "type": "BadRequestError", "param": "messages", "code": code}
    upstream.answer = says(whole(json.dumps({"error": said}).encode(), status=status))
    answered = await post(gateway, chat(stream=streamed))
    assert answered.status == code
    error = json.loads(answered.body)["error"]
    assert (error["message"], error["param"], error["code"]) == ("too long", "messages", None)
    assert error["type"] in ("invalid_request_error", "not_found_error")
    recorded = await gateway.event()
    assert (recorded.outcome, recorded.billed) == ("upstream_rejected", False)
    assert recorded.upstream_status == int(status[:3])


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "407 Proxy Authentication Required"])
async def test_an_upstream_that_refuses_our_credentials_does_not_make_the_callers_key_look_bad(
    gateway: Running, upstream: Upstream, status: str
) -> None:
    upstream.answer = says(whole(b'{"error":{"message":"bad key sk-upstream"}}', status=status))
    answered = await post(gateway, chat())
    assert answered.status == 502
    assert b"sk-upstream" not in answered.body
    recorded = await gateway.event()
    assert (recorded.outcome, recorded.billed) == ("upstream_failed", False)


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_429_of_the_upstream_is_relayed_with_its_retry_after(
    gateway: Running, upstream: Upstream, streamed: bool
) -> None:
    upstream.answer = says(whole(BODY, "retry-after: 7", status="429 Too Many Requests"))
    answered = await post(gateway, chat(stream=streamed))
    assert (answered.status, answered.headers["retry-after"]) == (429, "7")


FAULTS = [
    pytest.param(says(whole(BODY, status="500 Oops")), id="500"),
    pytest.param(says(whole(BODY, status="503 Busy")), id="503"),
    pytest.param(says(whole(b"", "location: http://169.254.169.254/", status="302 Found")), id="redirect"),
    pytest.param(says_and_hangs_up(), id="hangs up at once"),
    pytest.param(says_and_hangs_up(b"HTTP/1.1 200 OK\r\ncontent-"), id="cut within the head"),
    pytest.param(says_and_hangs_up(whole(completion())[:-10]), id="cut within the body"),
    pytest.param(says_and_hangs_up(STREAM_HEAD), id="cut before the first event"),
    pytest.param(says(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), id="another protocol"),
    pytest.param(says(b"\x00" * 100), id="zeros"),
    pytest.param(says(whole(b"<html>hello</html>")), id="HTML"),
    pytest.param(says(whole(b"")), id="empty"),
    pytest.param(says(head("content-type: application/json", "content-length: -5")), id="impossible length"),
    pytest.param(says(head("transfer-encoding: chunked") + b"zz\r\n"), id="impossible chunk"),
    pytest.param(says(head(*[f"x-{n}: {'y' * 1000}" for n in range(100)])), id="large head"),
    pytest.param(says(*[b"HTTP/1.1 200 OK\r\nx: ", *[b"y" * 10_000] * 10]), id="endless header"),
]


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("answer", FAULTS)
async def test_a_fault_before_the_first_byte_is_a_502_and_not_billed(
    gateway: Running, upstream: Upstream, answer: Answer, streamed: bool
) -> None:
    upstream.answer = answer
    await assert_failed(gateway, await post(gateway, chat(stream=streamed)), 502, "upstream_failed")


LATE_FAULTS = [
    pytest.param([], id="no last event"),
    pytest.param([b"data: {\n\n"], id="garbage"),
    pytest.param([event("x")[:-10]], id="cut within an event"),
    pytest.param([b'data: {"choices":5}\n\n', DONE], id="wrong types"),
]


@pytest.mark.parametrize("events", LATE_FAULTS)
@pytest.mark.parametrize("end", [LAST_CHUNK, None])
async def test_a_fault_after_the_first_byte_is_a_last_event_and_not_billed(
    gateway: Running, upstream: Upstream, events: list[bytes], end: bytes | None
) -> None:
    pieces = [STREAM_HEAD, chunk(event("a", running(5, 1))), *map(chunk, events)]
    upstream.answer = says(*pieces, end) if end else says_and_hangs_up(*pieces)
    answered = await post(gateway, chat(stream=True))
    assert answered.status == 200
    first, _, last = answered.body.partition(b"\n\n")
    assert first + b"\n\n" == event("a")
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_failed"
    recorded = await gateway.event()
    assert (recorded.outcome, recorded.usage_source, recorded.billed) == ("upstream_failed", "running_count", False)


async def test_an_error_event_of_the_upstream_reaches_the_caller_and_is_not_billed(
    gateway: Running, upstream: Upstream
) -> None:
    error = b'data: {"error":{"message":"out of memory","code":500}}\n\n'
    upstream.answer = streams(event("a", running(5, 1)), error, DONE)
    answered = await post(gateway, chat(stream=True))
    assert answered.body == event("a") + error
    assert (await gateway.event()).outcome == "upstream_failed"


async def test_an_event_over_the_limit_is_a_fault(home: Any, upstream: Upstream) -> None:
    upstream.answer = streams(event("a"), event("x" * 2000), DONE)
    async with running_gateway(home, FixedSnapshots(build(rows(upstream.base_url))), event_bytes_max=1024) as gateway:
        answered = await post(gateway, chat(stream=True))
        assert b"upstream_failed" in answered.body
        assert (await gateway.event()).outcome == "upstream_failed"


@pytest.mark.parametrize("streamed", [True, False])
async def test_an_answer_over_the_limit_is_a_fault(home: Any, upstream: Upstream, streamed: bool) -> None:
    upstream.answer = streams(*[event("x" * 1000)] * 100, DONE) if streamed else says(whole(b"x" * 100_000))
    snapshots = FixedSnapshots(build(rows(upstream.base_url)))
    async with running_gateway(home, snapshots, answer_bytes_max=50_000) as gateway:
        assert b"upstream_failed" in (await post(gateway, chat(stream=streamed))).body
        assert (await gateway.event()).outcome == "upstream_failed"


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_silent_upstream_is_a_504(home: Any, upstream: Upstream, streamed: bool) -> None:
    upstream.answer = says_and_waits()
    snapshots = FixedSnapshots(build(rows(upstream.base_url)))
    async with running_gateway(home, snapshots, first_byte_timeout_s=0.2) as gateway:
        await assert_failed(gateway, await post(gateway, chat(stream=streamed)), 504, "upstream_timeout")
    assert upstream.left.is_set()


async def test_an_upstream_that_falls_silent_within_a_stream_ends_it_with_an_event(
    home: Any, upstream: Upstream
) -> None:
    upstream.answer = says_and_waits(STREAM_HEAD, chunk(event("a", running(5, 1))))
    async with running_gateway(home, FixedSnapshots(build(rows(upstream.base_url))), idle_timeout_s=0.2) as gateway:
        answered = await post(gateway, chat(stream=True))
        assert b"upstream_timeout" in answered.body
        assert (await gateway.event()).outcome == "upstream_failed"


async def test_interim_answers_and_trailers_are_passed_over(gateway: Running, upstream: Upstream) -> None:
    chunked = head("content-type: application/json", "transfer-encoding: chunked") + chunk(completion())
    upstream.answer = says(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + chunked + b"0\r\nx-trailer: y\r\n\r\n")
    answered = await post(gateway, chat())
    assert (answered.status, answered.body) == (200, completion())


async def test_the_sdk_raises_what_the_stream_ends_with(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says_and_hangs_up(STREAM_HEAD, chunk(event("a")))
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=ALICE_KEY, max_retries=0) as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Say hello"}], stream=True
        )
        with pytest.raises(openai.APIError, match="did not give a whole answer"):
            async for _ in stream:
                pass


async def test_nothing_is_sent_twice(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    await post(gateway, chat())
    upstream.answer = says_and_hangs_up()
    assert (await post(gateway, chat())).status == 502
    await asyncio.sleep(0)
    assert len(upstream.received) == 2
