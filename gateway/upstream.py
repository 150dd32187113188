"""The HTTP client for upstreams: connections that are kept alive, and one answer at a time on each.

A connection is a protocol over llhttp: bytes go from the socket to the reader without a task or a callback in
between, and one sweep in a while looks after the times of all of them, so that a request needs no timer of its own.
Nothing is ever sent twice: once the first byte of a request has left, its connection's trouble is the request's.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import httptools
from msgspec import Raw

from gateway.answer import AnswerLimits, ArrivingAnswer
from gateway.troubles import AnswerTooLarge, UpstreamCut, UpstreamGarbled, UpstreamTimeout

PAUSE_READING_BYTES = 256 * 1024  # What one answer may hold unread before its upstream is made to wait.
LINGER_S = 1.0  # How long the end of an answer may take of which nothing more is needed.
JOIN_BYTES_MAX = 64 * 1024  # A body up to this is joined to its head: one write costs less than the copy.


class ConnectionOwner(Protocol):
    """Who keeps a connection while nobody uses it."""

    def take_back(self, connection: "Connection") -> None: ...

    def forget(self, connection: "Connection") -> None: ...


class Connection(ArrivingAnswer, asyncio.Protocol):
    """One connection; between `send` and `release` it belongs to one request."""

    def __init__(self, owner: ConnectionOwner, host: bytes, limits: AnswerLimits) -> None:
        super().__init__(limits)
        self._owner = owner
        self._host = host
        self.first_byte_timeout_s = limits.first_byte_timeout_s
        self.idle_timeout_s = limits.idle_timeout_s
        self.busy = False
        self.closed = False

    @property
    def usable(self) -> bool:
        return not self.closed and not self._transport.is_closing()

    def note_silence(self) -> None:
        self.silent_since = self._loop.time()

    # What a request does.

    def ask(self, path: bytes) -> None:
        """GET, of a page that is no answer to a caller."""
        self._begin()
        self.busy = True
        self.silent_since = self._loop.time()
        self._transport.write(b"GET %b HTTP/1.1\r\nhost: %b\r\nuser-agent: tokenworks\r\n\r\n" % (path, self._host))

    def send(self, path: bytes, headers: bytes, *body: Raw | bytes) -> None:
        """POST. `headers` are whole lines; host and length are added. Never waits, and is never repeated.

        The body may come in pieces. Large ones are not copied, so they must not change.
        """
        self._begin()
        self.busy = True
        self.silent_since = self._loop.time()
        size = sum(map(len, body))
        head = b"POST %b HTTP/1.1\r\nhost: %b\r\n%bcontent-length: %d\r\n\r\n" % (path, self._host, headers, size)
        if size <= JOIN_BYTES_MAX:
            self._transport.write(b"".join((head, *body)))
        else:
            self._transport.writelines([head, *(memoryview(piece) for piece in body)])

    def release(self, *, lingering: bool = False) -> None:
        """Give the connection back. An answer that is not whole ends with its connection.

        `lingering` says that only the end is still to come: it may come in its own time, so that the connection can be
        used again.
        """
        self.on_stalled = None
        if self.complete:
            self._go_back()
        elif lingering and self.failure is None and not self.closed:
            self._lingering = True
            self.silent_since = self._loop.time()
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
        else:
            self.busy = False
            self.close()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._owner.forget(self)
            self._transport.abort()

    # What the sweep does.

    def look_at_the_clock(self, now: float) -> None:
        """End what has been silent for too long, whether the upstream sends nothing or our reader takes nothing."""
        silent_s = now - self.silent_since
        if self._lingering:
            if silent_s > LINGER_S:
                self.close()
        elif self._waiter is None:
            if silent_s > self.idle_timeout_s and self.on_stalled is not None:
                self.on_stalled()
        else:
            limit_s = self.idle_timeout_s if self._body_begun else self.first_byte_timeout_s
            if silent_s > limit_s:
                self._fail(UpstreamTimeout(f"The upstream was silent for over {limit_s:g} seconds."))

    # What the transport does.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's transport is a Transport

    def data_received(self, data: bytes) -> None:
        if not self.busy:
            self.close()  # Nobody asked: whatever it is, it must not be taken for the next request's answer.
            return
        self.silent_since = self._loop.time()
        self._received_bytes += len(data)
        if self._between_chunks and self._handed_over_in_frames(data):
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            self._fail(UpstreamGarbled(f"The upstream's answer is not HTTP: {problem}."))
        if self._received_bytes > self._limits.answer_bytes_max:
            self._fail(AnswerTooLarge(f"The upstream's answer is over {self._limits.answer_bytes_max} bytes."))
        elif self._head_bytes > self._limits.head_bytes_max or (
            not self._head_complete and self._received_bytes > self._limits.head_bytes_max
        ):
            self._fail(
                AnswerTooLarge(f"The head of the upstream's answer is over {self._limits.head_bytes_max} bytes.")
            )
        if not data.endswith(b"\r\n"):
            self._between_chunks = False  # The length of the next chunk has begun.
        sleeps_on = self._hand_over()
        if self._lingering and self.complete:
            self._go_back()
        elif self._unread_bytes > PAUSE_READING_BYTES and not self._paused and not self.complete and not self.closed:
            self._paused = True
            self._transport.pause_reading()
        if not sleeps_on:
            self._wake()

    def connection_lost(self, problem: Exception | None) -> None:
        self.closed = True
        self._owner.forget(self)
        if self.busy and not self.complete:
            if self._ends_with_connection and problem is None:
                self.complete = True
            else:
                self._fail(UpstreamCut())
        self._wake()

    def _go_back(self) -> None:
        unsent = not self.closed and self._transport.get_write_buffer_size() > 0
        self.busy = self._lingering = False
        self._pieces.clear()
        if self.closed:
            return
        if self._reusable and not unsent and self.failure is None:
            self._owner.take_back(self)
        else:
            self.close()


def request_headers(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Header lines, ready to be sent."""
    return b"".join(b"%b: %b\r\n" % pair for pair in pairs)
