"""Gives an upstream's answer to the caller, and settles what it used before the last bytes leave.

The reading of the upstream belongs to the attempt, not to the caller's socket: a caller that hangs up ends a stream at
once, billed to its last event, and leaves an answer that is not streamed to be read to its end and billed in full.
"""

import asyncio
import logging

from gateway.asgi import JSON_TYPE, Headers, Request
from gateway.attempt import Attempt, now_us
from gateway.chunks import Place
from gateway.errors import Refusal, UpstreamBroken, UpstreamSilent
from gateway.sse import EventSplitter, EventTooLarge, data_of, event_of
from gateway.troubles import Abandoned, UpstreamCut, UpstreamTimeout, UpstreamTrouble
from gateway.upstream import Connection
from metering.usage import Outcome
from providers.dialects.dialect import AnswerStream, CallFormat, Counted, GarbledAnswer
from providers.dialects.openai_errors import in_openais_shape

EVENT_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
NO_CACHE = (b"cache-control", b"no-cache")

ABOUT_OUR_CREDENTIALS = (401, 403, 407)

log = logging.getLogger(__name__)


class UpstreamSaidError(UpstreamTrouble):
    """The upstream reported an error within its answer."""


class UpstreamBusy(Exception):
    """The upstream answered 429: it may be sent elsewhere, or is the caller's answer as it is."""

    status = 429

    def __init__(self, body: bytes, headers: Headers) -> None:
        super().__init__(type(self).__doc__)
        self.body = body
        self.headers = headers


TROUBLES = (UpstreamTrouble, EventTooLarge, GarbledAnswer)


def refusal(trouble: Exception) -> Refusal:
    """What the caller is told of an upstream's trouble."""
    return UpstreamSilent() if isinstance(trouble, UpstreamTimeout) else UpstreamBroken()


def broken_off(attempt: Attempt, trouble: Exception, counted: Counted | None = None) -> Refusal:
    """Settle an attempt that the upstream spoiled. What was counted is recorded, and never billed."""
    log.warning("Worker %s failed: %s", attempt.base_url, trouble)
    if counted is None:
        attempt.close(Outcome.UPSTREAM_FAILED)
    else:
        attempt.close(Outcome.UPSTREAM_FAILED, counted)
    return refusal(trouble)


async def relay_whole(attempt: Attempt, connection: Connection, call_format: CallFormat, request: Request) -> None:
    """Read an answer to its end, settle, and give it away."""
    try:
        try:
            body = await connection.whole()
        finally:
            status = attempt.upstream_status = connection.answered
            attempt.first_byte_at_us = connection.head_at_us
        if status is None or not 200 <= status < 300:
            await relay_rejection(attempt, connection, request)
            return
        counted = call_format.count(body)
    except TROUBLES as trouble:
        raise broken_off(attempt, trouble) from trouble
    attempt.close(Outcome.CLIENT_DISCONNECTED if request.has_left() else Outcome.COMPLETED, counted)
    kind = (b"content-type", connection.header(b"content-type") or JSON_TYPE[1])
    if request.writable_at_once:
        request.answer_now(status, body, kind)
    else:
        await request.answer(status, body, kind)


async def relay_rejection(attempt: Attempt, connection: Connection, request: Request) -> None:
    """Give a 4xx on in OpenAI's shape, with its Retry-After; what else is no success is the upstream's failure.

    So is a refusal of our own credentials: the caller's key is good, and must not look bad.

    Raises UpstreamBusy for a 429: another worker may do what this one would not.
    """
    status = connection.status
    if not 400 <= status < 500 or status in ABOUT_OUR_CREDENTIALS:
        raise UpstreamTrouble(f"The upstream answered with status {status}.")
    body = in_openais_shape(await connection.read_all(), status)
    headers = [JSON_TYPE]
    retry_after = connection.header(b"retry-after")
    if retry_after is not None:
        headers.append((b"retry-after", retry_after))
    attempt.close(Outcome.UPSTREAM_REJECTED)
    if status == UpstreamBusy.status:
        raise UpstreamBusy(body, headers)
    await request.answer(status, body, *headers)


def joined(framed: bytes, places: list[Place]) -> bytes:
    """The data of chunks without their frames."""
    return b"".join([framed[begin:end] for begin, end in places])


class StreamRelay:
    """Relays one streamed answer. Nothing is made for an event but its bytes."""

    def __init__(
        self, attempt: Attempt, connection: Connection, stream: AnswerStream, request: Request, event_bytes_max: int
    ) -> None:
        self._attempt = attempt
        self._connection = connection
        self._stream = stream
        self._request = request
        self._splitter = EventSplitter(event_bytes_max)
        self._out: list[bytes] = []  # For the caller, not sent yet.
        self._left = False
        self._stalled = False
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Relay to the end and settle, however it ends."""
        self._task = asyncio.current_task()
        self._connection.on_stalled = self._stall
        unwatch = self._request.when_left(self._leave)
        try:
            await self._relay()
        except asyncio.CancelledError:
            if not self._stalled:
                self._settle(Outcome.INTERRUPTED)
                raise
            self._task.uncancel()  # type: ignore[union-attr]  # a coroutine runs in a task
            self._settle(Outcome.CLIENT_DISCONNECTED)
        except Abandoned:
            self._settle(Outcome.CLIENT_DISCONNECTED)
        except TROUBLES as trouble:
            await self._break_off(trouble)
        finally:
            unwatch()

    def _settle(self, outcome: Outcome) -> None:
        if self._attempt.is_open:
            self._attempt.close(outcome, self._stream.counted())

    async def _relay(self) -> None:
        status = self._attempt.upstream_status = await self._connection.head()
        if status != 200:
            await relay_rejection(self._attempt, self._connection, self._request)
            return
        kind = self._connection.header(b"content-type") or b""
        if not kind.startswith(b"text/event-stream"):
            raise GarbledAnswer(f"The upstream answered a stream with {kind!r}.")
        while True:
            ended = await self._connection.pass_on(self)
            if ended:
                self._take(self._splitter.finish())
            if self._stream.done:
                await self._finish()
                return
            if self._stream.failed:
                raise UpstreamSaidError
            if ended:
                raise UpstreamCut("The upstream's stream ended before its last event.")
            if self._out:
                await self._write(self._taken_out(), more=True)

    def take_chunks(self, framed: bytes, places: list[Place]) -> bool:
        """As `take`, of whole chunks in their frames: where each is an event that stays as it is, so do the frames."""
        stream = self._stream
        if self._out or not self._request.writable:
            return self.take(joined(framed, places))
        for number, (begin, end) in enumerate(places):
            data = self._splitter.data_of_one(framed, begin, end)
            if data is None or not data.startswith(b"{"):  # Such as [DONE].
                self._out += (framed[slice(*place)] for place in places[:number])
                return self.take(joined(framed, places[number:]))
            kept = stream.take(data)
            if kept is not data or stream.failed:
                self._out += (framed[slice(*place)] for place in places[:number])
                self._put(framed[begin:end], data, kept)
                rest = joined(framed, places[number + 1 :])
                return self.take(rest) if rest and not stream.failed else self._pass_on()
        self._request.write_frames_now(framed)
        return True

    def take(self, piece: bytes) -> bool:
        """Count what came and write it to the caller, as long as nothing has to be waited for."""
        data = self._splitter.data_of_one(piece, 0, len(piece))
        if data is None:
            self._take(self._splitter.feed(piece))
        else:  # As most are: then nothing is built but the bytes to write.
            self._take_one(piece, data)
        return self._pass_on()

    def _pass_on(self) -> bool:
        stream = self._stream
        if stream.done or stream.failed:
            return False
        out = self._out
        if not out:
            return True
        if not self._request.writable:
            return False
        self._request.write_now(out.pop() if len(out) == 1 else self._taken_out())
        return True

    def _take(self, events: list[bytes]) -> None:
        """Count events, and put what the caller is to see of them in `_out`."""
        for event in events:
            self._take_one(event, data_of(event))
            if self._stream.done or self._stream.failed:
                return

    def _take_one(self, event: bytes, data: bytes | None) -> None:
        stream = self._stream
        if data is None:
            self._out.append(event)
            return
        kept = stream.take(data)
        if stream.done and (owed := stream.owed()) is not None:
            self._out.append(event_of(owed))
        self._put(event, data, kept)

    def _put(self, event: bytes, data: bytes, kept: bytes | None) -> None:
        """What the caller is to see of an event goes behind what waits."""
        if kept is data:
            self._out.append(event)
        elif kept is not None:
            self._out.append(event_of(kept))

    async def _finish(self) -> None:
        """The last event is here and still held back: settle, then let it go."""
        try:
            self._settle(Outcome.CLIENT_DISCONNECTED if self._left else Outcome.COMPLETED)
        except Refusal as unrecorded:
            if not self._request.answered:
                raise
            self._out = [event_of(unrecorded.body())]
        await self._write(self._taken_out(), more=False)

    async def _break_off(self, trouble: Exception) -> None:
        """Settle, and tell the caller: by status where nothing was sent yet, else by a last event."""
        try:
            refused = broken_off(self._attempt, trouble, self._stream.counted())
        except Refusal as unrecorded:
            refused = unrecorded
        if not self._request.answered:
            raise refused from trouble
        if not self._stream.failed:  # Else the upstream's own event says it.
            self._out.append(event_of(refused.body()))
        await self._write(self._taken_out(), more=False)

    async def _write(self, body: bytes, *, more: bool) -> None:
        if self._request.answered:
            await self._request.write(body, more=more)
            return
        self._attempt.first_byte_at_us = now_us()
        if more:
            await self._request.begin_with(body, 200, EVENT_STREAM, NO_CACHE)
        else:
            await self._request.begin(200, EVENT_STREAM, NO_CACHE)
            await self._request.write(body, more=False)

    def _taken_out(self) -> bytes:
        body = b"".join(self._out)
        self._out.clear()
        return body

    def _leave(self) -> None:
        """The caller hung up: nothing more is made for it. What has come from the upstream is still counted."""
        self._left = True
        self._connection.abandon()

    def _stall(self) -> None:
        """The caller takes nothing and does not hang up. It is cut off, or it would hold the upstream for ever."""
        self._stalled = True
        self._connection.on_stalled = None
        self._connection.abandon()
        self._task.cancel()  # type: ignore[union-attr]  # a coroutine runs in a task
