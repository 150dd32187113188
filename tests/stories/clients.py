"""Callers that want as much as a budget gives: parallel, patient with what passes, and stopped by a 402 only."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

ANSWER_TIMEOUT_S = 30
PAUSE_S = 0.05  # Between two tries of one client, so that refused ones do not take the machine from the others.
PASSING = (429, 503)


@dataclass
class Received:
    """What all clients of one run hold together: ids of whole answers, and how often anything else came."""

    answered: list[str] = field(default_factory=list)
    else_: Counter[str] = field(default_factory=Counter)


class UnderWay:
    """When the requests that are not answered yet were sent, by the port of their gateway."""

    def __init__(self) -> None:
        self._sent: defaultdict[int, list[float]] = defaultdict(list)

    @contextmanager
    def asking(self, port: int) -> Iterator[None]:
        now = monotonic()
        self._sent[port].append(now)
        try:
            yield
        finally:
            self._sent[port].remove(now)

    def older_than(self, age_s: float, port: int) -> int:
        """How many requests this gateway has had for longer than that."""
        before = monotonic() - age_s
        return sum(sent < before for sent in self._sent[port])


@dataclass(frozen=True)
class Ask:
    """One request, the same each time."""

    secret: str
    model: str
    streamed: bool
    words: int
    output_tokens: int

    def sent(self) -> bytes:
        members = {
            "model": self.model,
            "messages": [{"role": "user", "content": " ".join("a" * self.words)}],
            "max_tokens": self.output_tokens,
            "ignore_eos": True,
            "stream": self.streamed,
        }
        body = json.dumps(members, separators=(",", ":")).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1", "host: gateway", "connection: close",
            f"authorization: Bearer {self.secret}", f"content-length: {len(body)}", "", "",
        )  # fmt: skip
        return "\r\n".join(head).encode() + body


async def drain(ports: Sequence[int], ask: Ask, clients: int, under_way: UnderWay) -> Received:
    """Let so many clients ask, each one gateway of `ports`, until each has heard that the budget is spent."""
    received = Received()
    await asyncio.gather(*(client(ports[number % len(ports)], ask, received, under_way) for number in range(clients)))
    return received


async def client(port: int, ask: Ask, received: Received, under_way: UnderWay) -> None:
    while True:
        with under_way.asking(port):
            status, request_id, body = await answer_of(port, ask)
        if status == 200 and is_whole(body, ask.streamed):
            received.answered.append(request_id)
            continue
        received.else_["cut" if status in (0, 200) else str(status)] += 1
        if status == 402:
            return
        assert status in (0, 200, *PASSING), (status, body)
        await asyncio.sleep(PAUSE_S)


async def answer_of(port: int, ask: Ask) -> tuple[int, str, bytes]:
    """Status, request id and body as far as they came; status 0 where nothing came."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(ask.sent())
                got = bytearray()
                while piece := await reader.read(1 << 16):
                    got += piece
            except ConnectionError:
                pass  # Killed: what came until then is what came.
            finally:
                writer.close()
    except ConnectionError:
        return 0, "", b""
    head, separator, body = bytes(got).partition(b"\r\n\r\n")
    if not separator:
        return 0, "", b""
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(status.split(" ")[1]), headers.get("x-request-id", ""), body


def is_whole(body: bytes, streamed: bool) -> bool:
    if streamed:
        return b"data: [DONE]" in body
    try:
        return "usage" in json.loads(body)
    except ValueError:
        return False
