"""Nobody makes the gateway connect where it should not, and nothing that is ours or the upstream's leaks from it."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.snapshot import build
from tests.gateway.running import ALICE_KEY, FixedSnapshots, Running, chat, exchange, http_request, post, rows
from tests.gateway.upstreams import (
    STREAM_HEAD,
    Upstream,
    chunk,
    completion,
    event,
    running_upstream,
    says,
    says_and_hangs_up,
    streams,
    vllm_stream,
    whole,
)

SECRET = "hunter2-of-the-upstream"


@pytest.fixture
async def inside() -> AsyncIterator[Upstream]:
    """A server inside the network, which no caller may reach through the gateway."""
    async with running_upstream() as server:
        server.answer = says(whole(b'{"secret":"' + SECRET.encode() + b'"}'))
        yield server


@pytest.mark.parametrize(
    "name", ["{}/v1/models", "{}", "file:///etc/passwd", "../../etc/passwd", "pool@{}", "llama-3.3-70b@{}", "//{}"]
)
async def test_a_model_name_is_looked_up_and_never_followed(
    gateway: Running, upstream: Upstream, inside: Upstream, name: str
) -> None:
    model = name.format(inside.base_url)
    assert (await post(gateway, chat(model=model))).status == 404
    path = f"/v1/models/{model}"
    assert (await exchange(gateway.port, http_request(method="GET", path=path))).status == 404
    assert (inside.connections, upstream.connections) == (0, 0)


@pytest.mark.parametrize("scheme", ["", "file:///etc/passwd#", "gopher://"])
async def test_an_address_within_a_message_is_passed_on_and_not_fetched(
    gateway: Running, upstream: Upstream, inside: Upstream, scheme: str
) -> None:
    upstream.answer = says(whole(completion()))
    content = [{"type": "image_url", "image_url": {"url": f"{scheme}{inside.base_url}/image.png"}}]
    body = chat(messages=[{"role": "user", "content": content}], file=f"{inside.base_url}/file")
    answered = await post(gateway, body)
    assert answered.status == 200
    assert upstream.received[0].json["messages"] == body["messages"]
    assert inside.connections == 0


HEADERS = [
    "host: {}", "x-forwarded-host: {}", "forwarded: host={}", "x-upstream: http://{}", "x-base-url: http://{}",
    "openai-organization: {}", "x-original-url: http://{}/", "referer: http://{}/", "proxy: http://{}",
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS)
async def test_no_header_of_a_caller_chooses_where_a_request_goes(
    gateway: Running, upstream: Upstream, inside: Upstream, header: str
) -> None:
    upstream.answer = says(whole(completion()))
    line = header.format(inside.base_url.removeprefix("http://")).encode() + b"\r\n"
    request = http_request(json.dumps(chat()).encode())
    start, _, rest = request.partition(b"\r\n")
    assert (await exchange(gateway.port, start + b"\r\n" + line + rest)).status == 200
    assert inside.connections == 0
    assert inside.base_url.removeprefix("http://") not in str(upstream.received[0].headers)


async def test_a_whole_address_as_the_target_is_no_proxy_request(
    gateway: Running, upstream: Upstream, inside: Upstream
) -> None:
    upstream.answer = says(whole(completion()))
    for method in ("GET", "POST"):
        await exchange(gateway.port, http_request(b"{}", method=method, path=f"{inside.base_url}/v1/models"))
    assert inside.connections == 0


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_redirect_of_the_upstream_is_a_fault_and_is_not_followed(
    gateway: Running, upstream: Upstream, inside: Upstream, status: str, streamed: bool
) -> None:
    upstream.answer = says(whole(b"", f"location: {inside.base_url}/", status=status))
    answered = await post(gateway, chat(stream=streamed))
    assert answered.status == 502
    assert inside.base_url not in str(answered)
    assert inside.connections == 0


OWN = (
    f"set-cookie: session={SECRET}", f"authorization: Bearer {SECRET}", f"x-api-key: {SECRET}", f"server: {SECRET}",
    f"www-authenticate: Bearer {SECRET}", f"location: http://{SECRET}/", f"x-debug: {SECRET}",
)  # fmt: skip


@pytest.mark.parametrize(
    "status", ["200 OK", "400 Bad Request", "401 Unauthorized", "429 Too Many Requests", "500 Oops"]
)
async def test_no_header_of_the_upstream_reaches_the_caller_but_those_that_it_needs(
    gateway: Running, upstream: Upstream, status: str
) -> None:
    upstream.answer = says(whole(completion(), *OWN, status=status))
    answered = await post(gateway, chat())
    assert SECRET not in str(answered.headers)
    assert set(answered.headers) <= {
        "content-type", "content-length", "x-request-id", "connection", "date", "retry-after",
        "server",  # uvicorn's own, in these tests only.
    }  # fmt: skip


async def test_no_header_of_a_streaming_upstream_reaches_the_caller(gateway: Running, upstream: Upstream) -> None:
    head = STREAM_HEAD[:-2] + "\r\n".join((*OWN, "", "")).encode()
    upstream.answer = says(head, *map(chunk, vllm_stream(["To"])), chunk(b""))
    answered = await post(gateway, chat(stream=True))
    assert (answered.status, SECRET in str(answered.headers)) == (200, False)


FAULTS: list[Any] = [
    pytest.param(says(whole(f'{{"error":"{SECRET}"}}'.encode(), status="500 Oops")), id="500"),
    pytest.param(says(whole(f"<html>{SECRET}</html>".encode())), id="garbage"),
    pytest.param(says_and_hangs_up(f"HTTP/1.1 200 OK\r\nx: {SECRET}\r\n".encode()), id="cut head"),
    pytest.param(says(f"{SECRET} is not HTTP\r\n\r\n".encode()), id="not HTTP"),
    pytest.param(streams(event("a"), f"data: {SECRET}\n\n".encode()), id="garbage in a stream"),
]


@pytest.mark.parametrize("answer", FAULTS)
@pytest.mark.parametrize("streamed", [True, False])
async def test_what_a_failing_upstream_said_reaches_neither_the_caller_nor_the_log(
    gateway: Running, upstream: Upstream, caplog: pytest.LogCaptureFixture, answer: Any, streamed: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.answer = answer
    answered = await post(gateway, chat(stream=streamed))
    told = str(answered)
    assert "upstream_failed" in told
    for secret in (SECRET, upstream.base_url.removeprefix("http://"), "llama-at-pool"):
        assert secret not in told
    assert SECRET not in caplog.text
    assert ALICE_KEY not in caplog.text + told


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "407 Proxy Authentication Required"])
@pytest.mark.parametrize("streamed", [True, False])
async def test_an_upstream_that_refuses_our_credentials_is_our_trouble_and_says_nothing_of_them(
    gateway: Running, upstream: Upstream, caplog: pytest.LogCaptureFixture, status: str, streamed: bool
) -> None:
    upstream.answer = says(whole(f'{{"error":{{"message":"Incorrect API key: {SECRET}"}}}}'.encode(), status=status))
    answered = await post(gateway, chat(stream=streamed))
    assert answered.status == 502
    assert SECRET not in str(answered) + caplog.text


async def test_where_a_worker_should_be_is_not_said(
    gateway: Running, upstream: Upstream, snapshots: FixedSnapshots, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    snapshots.current = build(rows("http://127.0.0.1:9"))
    answered = await post(gateway, chat())
    assert (answered.status, "127.0.0.1" in str(answered)) == (503, False)
    assert ALICE_KEY not in caplog.text


async def test_a_key_stands_in_no_log_and_no_answer_whatever_happens(
    gateway: Running, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.answer = says(whole(completion()))
    guessed = "sk-tw-guessed-by-mallory"
    for key in (ALICE_KEY, guessed):
        for body in (chat(), chat(model="no"), b"{", chat(stream="no")):
            assert key not in str(await post(gateway, body, key=key))
    await exchange(gateway.port, f"GET / HTTP/1.1\r\nauthorization: Bearer {guessed}\r\n\x00\r\n\r\n".encode())
    await asyncio.sleep(0)
    assert ALICE_KEY not in caplog.text
    assert guessed not in caplog.text
