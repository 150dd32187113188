"""ASGI on one page: its types, and one caller's request as the endpoints see it."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import uuid_utils

from gateway.errors import BodyTooLarge, CallerLeft, Refusal
from gateway.exchange import Exchange

if TYPE_CHECKING:
    from gateway.admission.admission import Admitted
    from gateway.admission.drawing import Held
    from gateway.admission.terms import Terms

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON_TYPE = (b"content-type", b"application/json")


class Request:
    """One request of a caller. Its id is the id of its usage event, and is on every answer."""

    __slots__ = (
        "_exchange", "_id_header", "_send", "admitted", "answered", "event_id", "receive", "said", "scope",
        "started_at_us", "terms",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send, now_us: int) -> None:
        self.begin_again(now_us)
        self.scope = scope
        self.receive = receive
        self.answered = False  # The head of an answer has left.
        self.terms: Terms | None = None  # What limits the caller, where anything does.
        self.admitted: Admitted | Held | None = None  # What the request holds of it.
        self.said: Headers = []  # Headers that go on the answer besides.
        self._send = send
        self._exchange = Exchange.of(send)

    def begin_again(self, now_us: int) -> None:
        """Take a new id: each attempt has an event of its own, and the answer carries the id of the last."""
        event_id = uuid_utils.uuid7(nanoseconds=now_us * 1000)
        self.event_id = event_id.bytes
        self.started_at_us = now_us
        self._id_header = (b"x-request-id", str(event_id).encode())

    @property
    def id_text(self) -> str:
        return self._id_header[1].decode()

    @property
    def id_line(self) -> bytes:
        """The id as a header line for the upstream, so that its log and ours can be laid side by side."""
        return b"x-request-id: %b\r\n" % self._id_header[1]

    def header(self, name: bytes) -> bytes | None:
        """The value of a header by its lower-case name."""
        for found, value in self.scope["headers"]:
            if found == name:
                return bytes(value)
        return None

    def body_now(self, bytes_max: int) -> bytes | None:
        """The whole body, if all of it is here already; it is given once. Raises BodyTooLarge."""
        stated = self.header(b"content-length")
        if stated is not None and int(stated) > bytes_max:
            raise BodyTooLarge(f"The body of {int(stated)} bytes is over the limit of {bytes_max}.")
        whole = None if self._exchange is None else self._exchange.whole_body()
        if whole is not None and len(whole) > bytes_max:
            raise BodyTooLarge(f"The body is over the limit of {bytes_max} bytes.")
        return whole

    async def body(self, bytes_max: int) -> bytes:
        """The whole body, waited for where `body_now` gave none. Raises BodyTooLarge or CallerLeft."""
        message = await self.receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            return bytes(message.get("body", b""))
        pieces = []
        size = 0
        while message["type"] == "http.request":
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > bytes_max:
                raise BodyTooLarge(f"The body is over the limit of {bytes_max} bytes.")
            if not message.get("more_body", False):
                return b"".join(pieces)
            message = await self.receive()
        raise CallerLeft

    async def begin(self, status: int, *headers: tuple[bytes, bytes]) -> None:
        self.answered = True
        await self._send(
            {"type": "http.response.start", "status": status, "headers": [*headers, *self.said, self._id_header]}
        )

    async def begin_with(self, body: bytes, status: int, *headers: tuple[bytes, bytes]) -> None:
        """Begin an answer in pieces with its first one, which is not empty."""
        if self._exchange is not None and self._exchange.writable:
            self.answered = True
            self._exchange.begin(status, (*headers, *self.said, self._id_header), body)
            return
        await self.begin(status, *headers)
        await self.write(body, more=True)

    async def write(self, body: bytes, *, more: bool) -> None:
        exchange = self._exchange
        if not more and body and self.writable and exchange is not None and exchange.chunked_encoding:
            exchange.end(body)
            return
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    @property
    def writable(self) -> bool:
        """Whether `write_now` may be called: the answer has begun, and the caller takes what is written."""
        exchange = self._exchange
        return self.answered and exchange is not None and not (exchange.flow.write_paused or exchange.disconnected)

    def write_now(self, body: bytes) -> None:
        """A piece of an answer in pieces, without waiting; not the last one, and not empty."""
        assert self._exchange is not None
        self._exchange.write(body)

    def write_frames_now(self, framed: bytes) -> None:
        """As `write_now`, pieces that are in their frames of HTTP's chunked coding already."""
        assert self._exchange is not None
        self._exchange.transport.write(framed)

    @property
    def writable_at_once(self) -> bool:
        """Whether `answer_now` may be called."""
        exchange = self._exchange
        return exchange is not None and not (exchange.flow.write_paused or exchange.disconnected)

    def answer_now(self, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
        """A whole answer, without waiting."""
        assert self._exchange is not None
        self.answered = True
        length = (b"content-length", b"%d" % len(body))
        self._exchange.answer(status, (length, *headers, *self.said, self._id_header), body)

    async def answer(self, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
        """A whole answer at once."""
        if self.writable_at_once:
            self.answer_now(status, body, *headers)
            return
        await self.begin(status, (b"content-length", b"%d" % len(body)), *headers)
        await self.write(body, more=False)

    async def refuse(self, refusal: Refusal) -> None:
        await self.answer(refusal.status, refusal.body(), JSON_TYPE, *refusal.headers())

    def when_left(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have `call` called when the caller hangs up; what this gives ends that, for good and at once."""
        exchange = self._exchange
        if exchange is not None:
            exchange.on_left = call
            if exchange.disconnected:
                call()
            return exchange.forget_on_left
        watch = asyncio.get_running_loop().create_task(self.gone())

        def tell(watch: "asyncio.Task[None]") -> None:
            if not watch.cancelled():
                call()

        def end() -> None:
            watch.remove_done_callback(tell)
            watch.cancel()

        watch.add_done_callback(tell)
        return end

    async def gone(self) -> None:
        """Return when the caller has hung up, or the answer is whole."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    def has_left(self) -> bool:
        """Whether the caller has hung up, found out without waiting and without a task.

        Where the exchange is not ours to ask, `receive()` is taken to its first wait and dropped there: a caller that
        has left is told without any wait.
        """
        if self._exchange is not None:
            return self._exchange.disconnected
        waiting = self.receive().__await__()
        try:
            next(waiting)
        except StopIteration as answer:
            return bool(answer.value["type"] == "http.disconnect")
        waiting.close()
        return False
