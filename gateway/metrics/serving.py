"""`GET /metrics` before an application, for whoever knows the secret of TOKENWORKS_METRICS_SECRET."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable

from gateway.asgi import Receive, Request, Scope, Send
from gateway.attempt import now_us
from gateway.errors import MethodNotAllowed, NotReady, Refusal
from gateway.metrics.exposition import CONTENT_TYPE, page
from gateway.metrics.watch import bytes_of
from gateway.server import Gateway

PATH = "/metrics"

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class MetricsRefused(Refusal):
    """The metrics tell about all tenants. Send `Authorization: Bearer` and this gateway's TOKENWORKS_METRICS_SECRET."""

    status = 401
    code = "invalid_metrics_secret"

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(b"www-authenticate", b"Bearer")]


class WithMetrics:
    """An application with the page of `gateway` before it."""

    def __init__(self, application: App, gateway: Gateway) -> None:
        self._application = application
        self._gateway = gateway

    def refused(self, code: str | None) -> None:
        """`gateway.front` refused what never became a request."""
        if self._gateway.watch is not None:
            self._gateway.watch.counts.refused(code)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._application(scope, receive, send)
            return
        request = Request(scope, receive, send, now_us())
        try:
            body = await read_by(request, self._gateway)
        except Refusal as refusal:
            await request.refuse(refusal)
        else:
            await request.answer(200, body, (b"content-type", CONTENT_TYPE), (b"cache-control", b"no-store"))


async def read_by(request: Request, gateway: Gateway) -> bytes:
    """The page, for whoever may read it. Raises a Refusal. The journal's files are looked at in another thread."""
    config = gateway.config
    given = request.header(b"authorization") or b""
    secret = config.metrics_secret
    if not secret or not hmac.compare_digest(given, b"Bearer " + secret.encode()):
        raise MetricsRefused
    if request.scope["method"] != "GET":
        raise MethodNotAllowed(f"{PATH} takes GET only.", allowed="GET")
    if gateway.watch is None:
        raise NotReady
    journal_bytes = await asyncio.to_thread(bytes_of, config.home / "journal" / config.journal_name)
    return page(gateway.watch.families(gateway.requests_open, journal_bytes))
