"""One request of a caller and its answer on the wire: ASGI's as uvicorn has it, and a shorter way for the gateway.

The shorter way writes a whole answer at once, where ASGI's two messages are two writes, and a piece of a stream
without a wait. A body is kept in the pieces in which it came, so that it is joined once.
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

JOIN_BYTES_MAX = 64 * 1024  # A body up to this is joined to its head: one write costs less than the copy.

CHUNKED = (b"transfer-encoding", b"chunked")

_CONTROL = re.compile(b"[\x00-\x08\x0a-\x1f\x7f]")


class News:
    """As much of asyncio.Event as uvicorn uses, and one of those only once somebody waits: most requests come whole."""

    __slots__ = ("_event", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._event: asyncio.Event | None = None

    def set(self) -> None:
        self._is_set = True
        if self._event is not None:
            self._event.set()

    def clear(self) -> None:
        self._is_set = False
        if self._event is not None:
            self._event.clear()

    async def wait(self) -> None:
        if not self._is_set:
            self._event = self._event or asyncio.Event()
            await self._event.wait()


def done_already() -> None:
    """In place of what is done when an answer is whole, so that an exchange does not keep its connection."""


class Exchange(RequestResponseCycle):
    """What ASGI's `receive` and `send` of one request belong to."""

    def __init__(self, front: Any, scope: Any, *, keep_alive: bool) -> None:
        """All that uvicorn's own would set, for `front`, the connection; that one takes a dozen arguments by name."""
        self.scope = scope
        self.transport = front.transport
        self.flow = front.flow
        self.logger = front.logger
        self.access_logger = front.access_logger
        self.access_log = front.access_log
        self.default_headers = front.server_state.default_headers
        self.message_event = News()  # type: ignore[assignment]  # what uvicorn does with an event, this does
        self.on_response = front.on_response_complete
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = front.expect_100_continue
        self.body = b""  # type: ignore[assignment]  # ours comes in pieces
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self.chunked_encoding = None
        self.expected_content_length = 0
        self.on_left: Callable[[], None] | None = None  # Called when the caller hangs up before its answer is whole.
        self.task: Any = None
        self._tasks = front.tasks
        self._pieces: list[bytes] = []
        self._unread_bytes = 0

    @staticmethod
    def of(send: Any) -> "Exchange | None":
        """The exchange whose `send` this is; none where another server is in front, or something lies between."""
        exchange = getattr(send, "__self__", None)
        return exchange if isinstance(exchange, Exchange) else None

    async def run_asgi(self, app: Any) -> None:
        """As uvicorn's own, which this is in place of, for one coroutine less."""
        try:
            await app(self.scope, self.receive, self.send)
            if not self.response_complete and not self.disconnected:
                self.logger.error("The application returned without a whole answer.")
                await self._end_unanswered()
        except BaseException as problem:
            self.logger.error("Exception in ASGI application\n", exc_info=problem)
            await self._end_unanswered()
        finally:
            self.on_response = done_already
            self._tasks.discard(self.task)

    async def _end_unanswered(self) -> None:
        """End what the application left open, so that the caller sees it."""
        if self.response_started:
            self.transport.close()
        else:
            await self.send_500_response()

    def take_body(self, piece: bytes) -> None:
        """A piece of the request's body has come."""
        self._pieces.append(piece)
        self._unread_bytes += len(piece)
        if self._unread_bytes > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        self.message_event.set()

    def whole_body(self) -> bytes | None:
        """The body, if all of it is here; it is given once. None: wait for it with `receive`."""
        if self.more_body or self.disconnected:
            return None
        self.waiting_for_100_continue = False
        self.flow.resume_reading()  # Else nobody sees the caller hang up.
        body = b"".join(self._pieces)
        self._pieces = []
        self._unread_bytes = 0
        return body

    def left(self) -> None:
        """The caller has hung up."""
        self.disconnected = True
        self.message_event.set()
        if self.on_left is not None:
            self.on_left()

    def forget_on_left(self) -> None:
        self.on_left = None

    async def receive(self) -> Any:
        message: Any = await super().receive()
        if message["type"] == "http.request":
            pieces = self._pieces
            message["body"] = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._pieces = []
            self._unread_bytes = 0
        return message

    @property
    def writable(self) -> bool:
        """Whether what is written now does not have to wait for the caller to read."""
        return not self.flow.write_paused and not self.disconnected

    def answer(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """The whole answer, when `writable`. The headers must tell its length."""
        head = self._head(status, headers)
        if self.scope["method"] == "HEAD":
            body = b""
        if len(body) <= JOIN_BYTES_MAX:
            self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))
        self._completed()

    def begin(self, status: int, headers: Iterable[tuple[bytes, bytes]], piece: bytes) -> None:
        """The head of an answer in pieces and its first piece, when `writable`; not to HEAD, and not empty."""
        self.chunked_encoding = True
        head = self._head(status, (*headers, CHUNKED))
        self.transport.write(b"%b%x\r\n%b\r\n" % (head, len(piece), piece))

    def end(self, piece: bytes) -> None:
        """The last piece of an answer in pieces, when `writable`; not empty."""
        self.transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(piece), piece))
        self._completed()

    def _head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        lines = [STATUS_LINE[status], joined(self.default_headers)]
        for name, value in headers:
            if _CONTROL.search(value):
                raise RuntimeError("A header's value holds a control character.")
            lines.append(b"%b: %b\r\n" % (name, value))
        lines.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        self.response_started = True
        self.waiting_for_100_continue = False
        return b"".join(lines)

    def _completed(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def write(self, piece: bytes) -> None:
        """A piece of an answer that has begun and has no stated length, when `writable`; not empty."""
        self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))


_default_headers: list[tuple[bytes, bytes]] = []
_default_lines = b""


def joined(default_headers: list[tuple[bytes, bytes]]) -> bytes:
    """uvicorn's own headers as lines. It makes a new list each second, for the date, and never changes one."""
    global _default_headers, _default_lines
    if default_headers is not _default_headers:
        _default_lines = b"".join([b"%b: %b\r\n" % header for header in default_headers])
        _default_headers = default_headers
    return _default_lines
