"""Whatever a caller sends: OpenAI's error shape, the right status, never a 500, and nothing in the journal."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway.running import (
    ALICE_KEY,
    MALLORY_KEY,
    OUTPUT_TOKENS_MAX,
    REVOKED_KEY,
    SUSPENDED_KEY,
    TIMEOUT_S,
    Answered,
    FixedSnapshots,
    Running,
    chat,
    exchange,
    http_request,
    post,
)
from tests.gateway.upstreams import Upstream, completion, says, whole


def assert_refused(
    gateway: Running, answered: Answered, status: int, code: str | None, param: str | None = None
) -> None:
    assert (answered.status, answered.error["code"], answered.error["param"]) == (status, code, param)
    assert set(answered.error) == {"message", "type", "param", "code"}
    assert answered.error["message"].endswith((".", ". Try again in a moment."))
    assert len(answered.headers["x-request-id"]) == 36
    assert gateway.records() == []


@pytest.mark.parametrize("key", [None, "", "sk-tw-guessed", REVOKED_KEY, "ä" * 50, "x" * 5000])
async def test_a_missing_unknown_or_revoked_key_is_401(gateway: Running, key: str | None) -> None:
    answered = await post(gateway, chat(), key=key)
    assert_refused(gateway, answered, 401, "invalid_api_key")


async def test_a_key_in_another_scheme_is_401(gateway: Running) -> None:
    request = http_request(json.dumps(chat()).encode()).replace(b"Bearer", b"Basic")
    assert_refused(gateway, await exchange(gateway.port, request), 401, "invalid_api_key")


async def test_the_scheme_is_read_in_any_case(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    request = http_request(json.dumps(chat()).encode()).replace(b"Bearer", b"bearer")
    assert (await exchange(gateway.port, request)).status == 200


async def test_a_key_of_a_suspended_tenant_is_403(gateway: Running) -> None:
    assert_refused(gateway, await post(gateway, chat(), key=SUSPENDED_KEY), 403, "account_suspended")


@pytest.mark.parametrize("model", ["gpt-99", "not-priced", "", "x" * 10_000, "../../etc/passwd", "http://127.0.0.1/"])
async def test_an_unknown_or_unpriced_model_is_404(gateway: Running, model: str) -> None:
    assert_refused(gateway, await post(gateway, chat(model=model)), 404, "model_not_found", "model")


async def test_a_model_that_only_another_tenants_plan_prices_is_404(gateway: Running) -> None:
    assert_refused(gateway, await post(gateway, chat(), key=MALLORY_KEY), 404, "model_not_found", "model")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"{",
        b'{"model":',
        b"\xff\xfe",
        b'{"model":"m"} {}',
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"[]",
        b"5",
    ],
)
async def test_a_body_that_is_no_json_object_is_400(gateway: Running, body: bytes) -> None:
    assert_refused(gateway, await post(gateway, body), 400, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("messages", []), ("stream", "yes"), ("stream_options", 5), ("n", 0),
        ("max_tokens", -1), ("max_tokens", 0), ("max_tokens", OUTPUT_TOKENS_MAX + 1), ("max_tokens", 10**30),
        ("max_completion_tokens", OUTPUT_TOKENS_MAX + 1), ("max_completion_tokens", "ten"),
    ],
)  # fmt: skip
async def test_a_wrong_type_or_an_absurd_limit_is_400_by_name(gateway: Running, field: str, value: Any) -> None:
    assert_refused(gateway, await post(gateway, chat(**{field: value})), 400, None, field)


async def test_the_offerings_own_limit_is_allowed(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    assert (await post(gateway, chat(max_tokens=OUTPUT_TOKENS_MAX))).status == 200


async def test_fields_that_we_do_not_know_pass(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    await post(gateway, chat(guided_json={"type": "object"}, logit_bias={"5": -1}))
    assert upstream.received[0].json["guided_json"] == {"type": "object"}


async def test_a_body_over_the_limit_is_413_as_its_length_says(gateway: Running) -> None:
    request = http_request(b"").replace(b"content-length: 0", b"content-length: 2000000000")
    assert_refused(gateway, await exchange(gateway.port, request), 413, "body_too_large")


async def test_a_body_over_the_limit_is_413_although_it_says_no_length(gateway: Running) -> None:
    head = http_request(b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    answered = await exchange(gateway.port, head + piece * 17)
    assert_refused(gateway, answered, 413, "body_too_large")


async def test_a_body_in_pieces_is_understood(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    head = http_request(b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    pieces = [b"1\r\n%c\r\n" % byte for byte in json.dumps(chat()).encode()]
    answered = await exchange(gateway.port, head + b"".join(pieces) + b"0\r\n\r\n")
    assert answered.status == 200


async def test_a_caller_that_leaves_within_its_body_leaves_nothing_behind(gateway: Running) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(http_request(b"x" * 100)[:-50])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await post(gateway, chat(model="gpt-99"))).status == 404
    assert gateway.records() == []
    assert gateway.gateway.requests_open == 0


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/embeddings", 405, "method_not_allowed"),
        ("POST", "/v1/responses", 404, "unknown_url"),
        ("GET", "/v1/" + "x" * 3000, 404, "unknown_url"),
        ("GET", "/v1/%2e%2e/models", 404, "unknown_url"),
    ],
)
async def test_an_unknown_path_or_method_is_refused(
    gateway: Running, method: str, path: str, status: int, code: str
) -> None:
    assert_refused(gateway, await exchange(gateway.port, http_request(method=method, path=path)), status, code)


async def test_a_request_over_the_number_that_may_be_open_is_503(
    gateway: Running, snapshots: FixedSnapshots, upstream: Upstream
) -> None:
    gateway.gateway.requests_open = gateway.gateway.config.requests_open_max
    answered = await post(gateway, chat())
    gateway.gateway.requests_open = 0
    assert_refused(gateway, answered, 503, "overloaded")
    assert answered.headers["retry-after"] == "1"


async def test_without_a_snapshot_a_good_key_is_503_and_not_401(gateway: Running, snapshots: FixedSnapshots) -> None:
    snapshots.current = None
    answered = await post(gateway, chat())
    assert_refused(gateway, answered, 503, "not_ready")
    assert answered.headers["retry-after"] == "1"


async def test_a_head_over_the_limit_is_431(gateway: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    reading = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n{"))
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nx: ")
    async with asyncio.timeout(TIMEOUT_S):
        while not reading.done():
            writer.write(b"y" * 1000)
            await asyncio.sleep(0)
    assert (await reading).startswith(b"HTTP/1.1 431 ")
    writer.close()


async def test_a_body_before_a_head_is_not_taken_for_a_part_of_it(gateway: Running) -> None:
    first = http_request(b"x" * 100_000).replace(b"connection: close", b"x: y")
    second = http_request(method="GET", path="/v1/models")
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(first + second[:-4])
    await asyncio.sleep(0.05)
    writer.write(second[-4:])
    answers = await reader.read()
    writer.close()
    assert b"HTTP/1.1 400 " in answers
    assert b"HTTP/1.1 200 " in answers


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(["messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "tools"])
BODIES = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda members: json.dumps(chat(**members)).encode(), st.dictionaries(FIELDS, JSON, max_size=4)),
)
HEADERS = st.lists(st.tuples(st.binary(max_size=10), st.binary(max_size=30)), max_size=4)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, headers=HEADERS)
async def test_no_request_is_a_500(
    gateway: Running, upstream: Upstream, body: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    upstream.answer = says(whole(b'{"error":{"message":"no"}}', status="400 Bad Request"))
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer %b\r\nconnection: close\r\n" % ALICE_KEY.encode()
        + b"content-length: %d\r\n%b\r\n%b" % (len(body), lines, body)
    )
    answered = await exchange(gateway.port, request)
    assert 400 <= answered.status < 500
