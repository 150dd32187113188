"""A gateway whose requests and attempts are spans: SERVER for what came in, CLIENT for each attempt at a worker."""

from contextlib import suppress
from dataclasses import replace

from opentelemetry.trace import StatusCode

from gateway.asgi import Receive, Request, Scope, Send
from gateway.attempt import Attempt
from gateway.callers import principal_of
from gateway.config import GatewayConfig
from gateway.errors import JournalDown, Refusal, Unexpected
from gateway.loading import Snapshots
from gateway.server import Gateway
from gateway.spans.attributes import ERROR
from gateway.spans.exporting import Spans
from gateway.spans.request import RequestSpans
from metering.journal import Journal
from metering.records import Closed
from metering.usage import Outcome
from providers.dialects.dialect import NOTHING_COUNTED, Call, Counted
from providers.snapshot import Deployment
from tenants.snapshot import Principal

KEY = "tokenworks.spans"  # Where a request's scope holds its RequestSpans.


class SpannedRequest(Request):
    """Notes its id, the status of its answer and why that finished, and tells the worker whose part its work is."""

    __slots__ = ("spans",)

    def __init__(self, scope: Scope, receive: Receive, send: Send, now_us: int) -> None:
        self.spans: RequestSpans = scope[KEY]
        super().__init__(scope, receive, send, now_us)

    def begin_again(self, now_us: int) -> None:
        super().begin_again(now_us)
        self.spans.request_id = self.id_text

    @property
    def id_line(self) -> bytes:
        return super().id_line + self.spans.headers

    async def begin(self, status: int, *headers: tuple[bytes, bytes]) -> None:
        self.spans.status = status
        await super().begin(status, *headers)

    async def begin_with(self, body: bytes, status: int, *headers: tuple[bytes, bytes]) -> None:
        self.spans.status = status
        await super().begin_with(body, status, *headers)

    def answer_now(self, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
        self._gives_whole(status, body)
        super().answer_now(status, body, *headers)

    async def answer(self, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
        if not self.writable_at_once:  # Else `answer_now` sees it.
            self._gives_whole(status, body)
        await super().answer(status, body, *headers)

    def _gives_whole(self, status: int, body: bytes) -> None:
        self.spans.status = status
        if self.spans.sampled:
            self.spans.gives(body)

    async def write(self, body: bytes, *, more: bool) -> None:
        if self.spans.sampled:
            self.spans.gives(body)
        await super().write(body, more=more)

    def write_now(self, body: bytes) -> None:
        if self.spans.sampled:
            self.spans.gives(body)
        super().write_now(body)

    def write_frames_now(self, framed: bytes) -> None:
        if self.spans.sampled:
            self.spans.gives(framed)
        super().write_frames_now(framed)


class SpannedAttempt(Attempt):
    """Begins its span with its event and ends it with what was recorded."""

    __slots__ = ("_span", "_spans")

    def __init__(
        self,
        journal: Journal,
        request: Request,
        principal: Principal,
        deployment: Deployment,
        call: Call,
        base_url: str,
    ) -> None:
        super().__init__(journal, request, principal, deployment, call, base_url)
        assert isinstance(request, SpannedRequest)
        self._spans = request.spans
        self._span = request.spans.begin_attempt(self._opened, call, deployment, base_url)

    def close(self, outcome: Outcome, counted: Counted = NOTHING_COUNTED) -> Closed:
        try:
            closed = super().close(outcome, counted)
        except JournalDown:
            self._span.set_attribute(ERROR, JournalDown.code or "")
            self._span.set_status(StatusCode.ERROR)
            self._span.end()
            raise
        self._spans.closed(self._span, closed)
        return closed


class SpannedGateway(Gateway):
    """One gateway process that makes spans."""

    request_class = SpannedRequest
    attempt_class = SpannedAttempt

    def __init__(self, config: GatewayConfig, snapshots: Snapshots | None = None) -> None:
        super().__init__(config, snapshots)
        self.spans = Spans(config.spans_url, config.spans_percent, config.journal_name)

    async def startup(self) -> None:
        await super().startup()
        self.spans.start()
        if self.watch is not None:
            self.watch = replace(self.watch, spans=self.spans.counts)

    async def shutdown(self) -> None:
        await super().shutdown()
        await self.spans.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        spans = scope[KEY] = RequestSpans(self.spans, scope)
        try:
            await super().__call__(scope, receive, send)
        except Exception:
            spans.error = Unexpected.code
            raise
        finally:
            spans.end()

    async def _refuse(self, request: Request, refusal: Refusal) -> None:
        assert isinstance(request, SpannedRequest)
        if request.spans.sampled:
            request.spans.refused(refusal, self._caller(request))
        await super()._refuse(request, refusal)

    def _caller(self, request: Request) -> Principal | None:
        """Looked up once more, for no record of a refused request says who made it."""
        snapshot = self._snapshots.current
        if snapshot is not None:
            with suppress(Refusal):
                return principal_of(request, snapshot)
        return None
