"""One answer of an upstream as it comes: what the parser says of it, and what its reader takes.

The reader may wait for more, or name a taker, which is then given what comes without a turn of the reader's task.
"""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import httptools

from gateway.chunks import Place, chunks_of
from gateway.troubles import Abandoned, UpstreamTrouble


class AnswerLimits(NamedTuple):
    """Bytes and seconds that one answer may take."""

    head_bytes_max: int
    answer_bytes_max: int
    first_byte_timeout_s: float
    idle_timeout_s: float


class Taker(Protocol):
    """Takes the body of an answer as it comes, and says whether to go on so."""

    def take(self, piece: bytes) -> bool: ...

    def take_chunks(self, framed: bytes, places: list[Place]) -> bool:
        """The same of whole chunks in their frames: where in `framed` the data of each lies."""
        ...


class ArrivingAnswer:
    """The answer to the request that was sent last; `gateway.upstream.Connection` brings its bytes."""

    _transport: asyncio.Transport

    def __init__(self, limits: AnswerLimits) -> None:
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[bool] | None = None
        self._taker: Taker | None = None
        self._pieces: list[bytes] = []
        self.silent_since = self._loop.time()  # When the last bytes came or went.
        self._begin()

    def close(self) -> None:
        """End its connection."""
        raise NotImplementedError

    def _begin(self) -> None:
        self.status = 0
        self.head_at_us: int | None = None  # When the head was here, in microseconds since the epoch.
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        self.on_stalled: Callable[[], None] | None = None  # Called when the reader takes nothing for the idle time.
        self.failure: UpstreamTrouble | None = None
        self._head_complete = False
        self._body_begun = False
        self._ends_with_connection = False
        self._reusable = False
        self._lingering = False
        self._paused = False
        self._unread_bytes = 0
        self._received_bytes = 0
        self._head_bytes = 0
        self._between_chunks = False  # The parser has seen the end of a chunk, or of the head before the first one.
        self._pieces.clear()

    @property
    def unanswered(self) -> bool:
        """Not one byte of an answer has come."""
        return self._received_bytes == 0

    # What its reader does.

    async def head(self) -> int:
        """Wait for the answer's status and headers. Raises UpstreamTrouble."""
        while not self._head_complete:
            if self.failure is not None:
                raise self.failure
            await self._wait()
        return self.status

    async def whole(self) -> bytes:
        """The body of a success, once all of it is here. Raises UpstreamTrouble.

        Of any other answer it waits for the head alone, and gives nothing: `answered` says which one it is.
        """
        taken = []
        while not self._head_complete or 200 <= self.status < 300:
            if self._pieces:
                taken.append(self._taken_pieces())
            elif self._has_ended():
                break
            else:
                await self._wait()
        return taken[0] if len(taken) == 1 else b"".join(taken)

    @property
    def answered(self) -> int | None:
        """The status of an answer whose head is here."""
        return self.status if self._head_complete else None

    async def read(self) -> bytes:
        """The next bytes of the body, all that have come; empty at the end. Raises UpstreamTrouble after the last."""
        while not self._pieces:
            if self._has_ended():
                return b""
            await self._wait()
        return self._taken_pieces()

    async def pass_on(self, taker: Taker) -> bool:
        """Give `taker` all bytes of the body that have come, and then at once whenever more come.

        It is called by the transport, without a turn of this task, and says whether to go on so. Returns False when it
        said no, True at the body's end. Raises what it raises, and UpstreamTrouble after the last bytes.
        """
        while True:
            if self._pieces:
                if not taker.take(self._taken_pieces()):
                    return False
            elif self._has_ended():
                return True
            else:
                self._taker = taker
                try:
                    if await self._wait():
                        return False
                finally:
                    self._taker = None

    def _has_ended(self) -> bool:
        """Whether nothing more comes; where more does, it may come. Raises UpstreamTrouble."""
        if self.failure is not None:
            raise self.failure
        if self._paused and not self.complete:
            self._paused = False
            self.silent_since = self._loop.time()
            self._transport.resume_reading()
        return self.complete

    def _taken_pieces(self) -> bytes:
        pieces = self._pieces
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._unread_bytes = 0
        return piece

    async def read_all(self) -> bytes:
        """The whole body. Raises UpstreamTrouble."""
        pieces = []
        while piece := await self.read():
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def header(self, name: bytes) -> bytes | None:
        """The value of a header by its lower-case name."""
        for found, value in self.headers:
            if found == name:
                return value
        return None

    def abandon(self) -> None:
        """End the answer now. A reader gets what has come, and then Abandoned."""
        if not self.complete:
            self._fail(Abandoned())

    # What the parser does.

    def on_message_begin(self) -> None:
        if self.complete:
            self._reusable = False  # More than one answer came.

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_complete:  # Else it is a trailer.
            self.headers.append((name.lower(), value))
            self._head_bytes += len(name) + len(value)

    def on_headers_complete(self) -> None:
        if self._head_complete:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:
            return  # An interim answer; the real one follows.
        self._head_complete = True
        self.head_at_us = time.time_ns() // 1000
        encoding = self.header(b"transfer-encoding")
        if encoding is None:
            self._ends_with_connection = self.header(b"content-length") is None and self.status not in (204, 304)
        else:
            self._ends_with_connection = not encoding.lower().rstrip().endswith(b"chunked")
            self._between_chunks = not self._ends_with_connection

    def on_chunk_header(self) -> None:
        self._between_chunks = False

    def on_chunk_complete(self) -> None:
        self._between_chunks = True

    def on_body(self, body: bytes) -> None:
        if self.complete or self._lingering:
            return
        self._body_begun = True
        self._pieces.append(body)
        self._unread_bytes += len(body)

    def on_message_complete(self) -> None:
        if self.status < 200:
            self.headers.clear()
            return
        self._between_chunks = False
        if not self.complete:
            self.complete = True
            self._reusable = self._parser.should_keep_alive()

    # Its own affairs.

    async def _wait(self) -> bool:
        """Wait for anything new. True: the taker wants no more."""
        self._waiter = self._loop.create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def _wake(self, *, taker_is_done: bool = False) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(taker_is_done)

    def _hand_over(self) -> bool:
        """Give the taker what has come. Returns True where the task that reads has nothing to do for it."""
        if self._taker is None or not self._pieces or self._waiter is None or self._waiter.done():
            return False
        try:
            if self._taker.take(self._taken_pieces()):
                return not self.complete and self.failure is None
            self._wake(taker_is_done=True)
        except Exception as problem:  # Whatever it is, it belongs to the task that reads.
            self._waiter.set_exception(problem)
        self._taker = None
        return True

    def _handed_over_in_frames(self, data: bytes) -> bool:
        """Give the taker what came, past the parser, if that is whole chunks only, as streamed events mostly are."""
        taker, waiter = self._taker, self._waiter
        if taker is None or waiter is None or waiter.done() or self._pieces:
            return False
        places = chunks_of(data)
        if not places or self._received_bytes > self._limits.answer_bytes_max:
            return False
        self._body_begun = True
        try:
            if taker.take_chunks(data, places):
                return True
            self._wake(taker_is_done=True)
        except Exception as problem:
            waiter.set_exception(problem)
        self._taker = None
        return True

    def _fail(self, failure: UpstreamTrouble) -> None:
        if self.failure is None and not self.complete:
            self.failure = failure
        self.close()
        self._wake()
