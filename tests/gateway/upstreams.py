"""Upstreams that answer as a test tells them to: real servers on loopback, with recorded bytes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

PROMPT, CACHED, COMPLETION, REASONING = 57, 16, 28, 4
USAGE = {
    "prompt_tokens": PROMPT,
    "completion_tokens": COMPLETION,
    "total_tokens": PROMPT + COMPLETION,
    "prompt_tokens_details": {"cached_tokens": CACHED},
    "completion_tokens_details": {"reasoning_tokens": REASONING},
}
DONE = b"data: [DONE]\n\n"


@dataclass
class Received:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = Callable[[Received, asyncio.Transport], Awaitable[None]]


@dataclass
class Upstream:
    """A fake worker; `answer` may be replaced at any time."""

    base_url: str = ""
    answer: Answer | None = None
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    open: set[asyncio.Transport] = field(default_factory=set)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)  # A request came.
    left: asyncio.Event = field(default_factory=asyncio.Event)  # A connection ended.
    pages: dict[str, bytes] = field(default_factory=dict)  # What is answered to GET, by path; else 404.
    asked: list[str] = field(default_factory=list)  # Paths of these.
    server: asyncio.Server | None = None

    async def listen(self, port: int = 0) -> None:
        self.server = await asyncio.get_running_loop().create_server(lambda: Connection(self), "127.0.0.1", port)
        self.base_url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    def die(self) -> None:
        """Cut all connections and take no more, as a killed process."""
        assert self.server is not None
        self.server.close()
        for transport in tuple(self.open):
            transport.abort()

    async def come_back(self) -> None:
        """Listen at the same address again."""
        await self.listen(int(self.base_url.rpartition(":")[2]))


class Connection(asyncio.Protocol):
    """Reads requests with a content-length, and has each answered by a task that ends with the connection."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.data = b""
        self.answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # uvloop's is no subclass
        self.upstream.connections += 1
        self.upstream.open.add(self.transport)

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, separator, body = self.data.partition(b"\r\n\r\n")
        if not separator:
            return
        request_line, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        if request_line.startswith("GET "):
            self.data = body
            self.show(request_line.split(" ")[1])
            return
        length = int(headers["content-length"])
        if len(body) < length:
            return
        self.data = body[length:]
        request = Received(request_line.split(" ")[1], headers, body[:length])
        self.upstream.received.append(request)
        self.upstream.arrived.set()
        assert self.upstream.answer is not None
        self.answering = asyncio.ensure_future(self.upstream.answer(request, self.transport))

    def show(self, path: str) -> None:
        self.upstream.asked.append(path)
        page = self.upstream.pages.get(path)
        self.transport.write(whole(b"", status="404 Not Found") if page is None else page)

    def connection_lost(self, problem: Exception | None) -> None:
        self.upstream.left.set()
        self.upstream.open.discard(self.transport)
        if self.answering is not None:
            self.answering.cancel()


@asynccontextmanager
async def running_upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    await upstream.listen()
    try:
        yield upstream
    finally:
        upstream.die()
        while upstream.open:
            await asyncio.sleep(0)


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *lines, "", "")).encode()


STREAM_HEAD = head("content-type: text/event-stream; charset=utf-8", "transfer-encoding: chunked")


def whole(body: bytes, *lines: str, status: str = "200 OK") -> bytes:
    return head("content-type: application/json", f"content-length: {len(body)}", *lines, status=status) + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = chunk(b"")


def says(*pieces: bytes) -> Answer:
    """An answer of these bytes, each piece written by itself."""

    async def answer(_: Received, transport: asyncio.Transport) -> None:
        for piece in pieces:
            transport.write(piece)
            await asyncio.sleep(0)

    return answer


def says_and_hangs_up(*pieces: bytes) -> Answer:
    async def answer(request: Received, transport: asyncio.Transport) -> None:
        await says(*pieces)(request, transport)
        transport.close()

    return answer


def says_and_waits(*pieces: bytes) -> Answer:
    """An answer that begins with these bytes and never ends."""

    async def answer(request: Received, transport: asyncio.Transport) -> None:
        await says(*pieces)(request, transport)
        await asyncio.Event().wait()

    return answer


def streams(*events: bytes) -> Answer:
    """An answer in events, one chunk each, that ends as it should."""
    return says(STREAM_HEAD, *(chunk(event) for event in events), LAST_CHUNK)


def completion(usage: Any = USAGE, content: str = "Hello there") -> bytes:
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "model-at-worker",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
        "usage": usage,
    }
    if usage is None:
        del answer["usage"]
    return json.dumps(answer, separators=(",", ":")).encode()


def event(content: str | None = None, usage: Any = None, finish: str | None = None, choice: int = 0) -> bytes:
    """A chunk as vLLM writes it: usage last, and absent where there is none. Without content: the usage event."""
    delta = {"index": choice, "delta": {"content": content}, "finish_reason": finish}
    data: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "model-at-worker",
        "choices": [] if content is None else [delta],
    }
    if usage is not None:
        data["usage"] = usage
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


def running(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}


def vllm_stream(words: Iterable[str], usage: Any = USAGE) -> list[bytes]:
    """What vLLM sends for include_usage and continuous_usage_stats."""
    counted = [event(word, running(PROMPT, place)) for place, word in enumerate(words, 1)]
    return [
        event("", running(PROMPT, 0)),
        *counted,
        event("", running(PROMPT, COMPLETION), "stop"),
        event(usage=usage),
        DONE,
    ]
