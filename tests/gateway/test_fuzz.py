"""Malformed requests over raw sockets at a real server: never a 5xx, and nothing of them is left afterwards.

`make soak-fuzz` runs the same with 10,000 requests.
"""

import asyncio
import gc
import itertools
import json
import os
import re
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.asgi import Request
from gateway.attempt import Attempt
from gateway.exchange import Exchange
from gateway.front import BoundedHttp
from metering.records import Opened
from tests.gateway.running import ALICE_KEY, MODEL, Running, until
from tests.gateway.upstreams import Upstream, says, whole

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300"))
SILENT_S = 0.05  # A server that has said nothing for so long waits for the rest of the request.
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")

METHODS = st.sampled_from(
    [b"POST", b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT", b"PRI", b"post", b"M@", b""]
)
PATHS = st.one_of(
    st.sampled_from(
        [
            b"/v1/chat/completions", b"/v1/completions", b"/v1/embeddings", b"/v1/models", b"/v1/models/x", b"/v1",
            b"*", b"", b"//", b"/v1/../v1/models", b"/v1/%ff%00", b"/v1/models?%zz=1#x", b"http://127.0.0.1:1/v1/models",
            b"http://[::1/v1", b"example.org:443", b"/v1/models/" + b"%41" * 500, b"\xc3\xa4", b"/v1/chat completions",
        ]
    ),
    st.binary(max_size=20),
)  # fmt: skip
VERSIONS = st.sampled_from([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9", b"ICY", b""])
HEADERS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"authorization: Bearer " + ALICE_KEY.encode(), b"authorization: Bearer \xff", b"authorization:",
                b"content-length: 5", b"content-length: -1", b"content-length: 99999999999999999999999",
                b"content-length: 1_0",
                b"content-length: 0x10", b"content-length: +3", b"transfer-encoding: chunked",
                b"transfer-encoding: gzip, chunked",
                b"transfer-encoding: identity", b"expect: 100-continue", b"connection: upgrade", b"upgrade: websocket",
                b"upgrade: h2c", b"connection: keep-alive", b"connection: close", b"host: 169.254.169.254", b" folded",
                b"x-forwarded-for: 10.0.0.1", b"x: " + b"y" * 5000, b": empty", b"no colon", b"x : y",
                b"x-request-id: \x00",
            ]
        ),
        st.builds(lambda name, value: name + b": " + value, st.binary(max_size=8), st.binary(max_size=20)),
    ),
    max_size=5,
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        "messages", "prompt", "input", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n",
        "best_of", "tools",
    ]
)  # fmt: skip
OBJECTS = st.builds(
    lambda members: json.dumps({"model": MODEL, "messages": [{}], "prompt": "a", "input": "a", **members}).encode(),
    st.dictionaries(NAMES, JSON, max_size=3),
)
BODIES = st.one_of(OBJECTS, OBJECTS, st.binary(max_size=100), st.sampled_from([b"", b"[" * 5000, b'{"a":' * 5000]))
SIZES = st.sampled_from([b"zz", b"-1", b"ffffffffffffffffffff", b"0", b"", b"5;x=y", b"0005", b"5 ", b"\xff"])


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """A body in chunks, of which one may state a size that is not its own."""
    pieces = []
    while body:
        size = draw(st.integers(1, len(body)))
        pieces.append((b"%x" % size, body[:size]))
        body = body[size:]
    if pieces and draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(pieces) - 1))
        pieces[place] = (draw(SIZES), pieces[place][1])
    ends = draw(st.sampled_from([b"0\r\n\r\n", b"0\r\nx: y\r\n\r\n", b"0\r\n", b"", b"0\r\n\xff\r\n\r\n"]))
    return b"".join(size + b"\r\n" + piece + b"\r\n" for size, piece in pieces) + ends


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request that is well formed, or nearly so, or was damaged on its way."""
    body = draw(BODIES)
    lines = draw(HEADERS)
    well_formed = draw(st.booleans())
    if well_formed:
        start = (
            b"POST "
            + draw(st.sampled_from([b"/v1/chat/completions", b"/v1/completions", b"/v1/embeddings"]))
            + b" HTTP/1.1"
        )
        lines = [b"host: x", b"authorization: Bearer " + ALICE_KEY.encode(), b"connection: close"]
    else:
        start = draw(METHODS) + b" " + draw(PATHS) + b" " + draw(VERSIONS)
    if draw(st.booleans()):
        lines.append(b"transfer-encoding: chunked")
        body = draw(chunked(body))
    elif well_formed or draw(st.booleans()):
        lines.append(b"content-length: %d" % len(body))
    request = b"\r\n".join([start, *lines, b"", b""]) + body
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        place = draw(st.integers(0, len(request)))
        request = request[:place] + draw(st.binary(max_size=4)) + request[place + draw(st.integers(0, 3)) :]
    return request * draw(st.sampled_from([1, 1, 1, 2]))


async def send_in_pieces(port: int, pieces: list[bytes], *, leaves: bool) -> bytes:
    """What the server answers until it ends the connection, or waits for more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answered = b""
    try:
        for piece in pieces:
            if not writer.transport.is_closing():
                writer.write(piece)
                await asyncio.sleep(0)
        while not leaves:
            async with asyncio.timeout(SILENT_S):
                piece = await reader.read(1 << 16)
            if not piece:
                break
            answered += piece
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
    return answered


def left_over() -> list[object]:
    """What the gateway keeps of requests and of callers' connections."""
    gc.collect()
    ours = (Request, Attempt, Exchange, BoundedHttp)
    # By its type: isinstance would ask the object itself, and a weak proxy of something gone raises.
    return [each for each in gc.get_objects() if issubclass(type(each), ours)]


@pytest.fixture
async def spotless(gateway: Running, upstream: Upstream) -> AsyncIterator[Running]:
    """A gateway that must have nothing left of any request when the test is over."""
    yield gateway
    await until(lambda: gateway.gateway.requests_open == 0)
    await until(lambda: not left_over())
    assert len(upstream.open) < 10
    opened = [each.event_id for each in gateway.records() if isinstance(each, Opened)]
    assert sorted(opened) == sorted(each.opened.event_id for each in gateway.events())


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(request=requests(), cuts=st.lists(st.integers(0, 400), max_size=4), leaves=st.integers(0, 9))
async def test_no_malformed_request_is_a_5xx_and_nothing_of_it_is_left(
    spotless: Running, upstream: Upstream, request: bytes, cuts: list[int], leaves: int
) -> None:
    upstream.answer = says(whole(b'{"error":{"message":"no"}}', status="400 Bad Request"))
    places = [0, *sorted(min(cut, len(request)) for cut in cuts), len(request)]
    pieces = [request[start:stop] for start, stop in itertools.pairwise(places)]
    answered = await send_in_pieces(spotless.port, pieces, leaves=leaves == 0)
    for status in map(int, STATUS.findall(answered)):
        assert status in (100, 200) or 400 <= status < 500, answered
