"""uvicorn's HTTP protocol with a limit on a request's head, and with less work for each request.

Name it when uvicorn is started: `--http gateway.front:BoundedHttp`. It sits before the office as well. uvicorn itself
keeps headers of any size, makes a timer for every request, and takes WebSockets into account, which nobody here speaks.
"""

import asyncio
import re
import urllib.parse
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.errors import Refusal
from gateway.exchange import Exchange

HEAD_BYTES_MAX = 64 * 1024
PLAIN_PATH = re.compile(rb"(?:/[A-Za-z0-9._-]+)+")
BODY_BYTES_PER_S_MIN = 16 * 1024  # How slowly a body may come, once the time that every request has is over.


class HeadTooLarge(Refusal):
    """The request's line and headers are over the limit."""

    status = 431
    code = "head_too_large"


class RequestTooSlow(Refusal):
    """The request did not come in time."""

    status = 408
    code = "request_timeout"


class BoundedHttp(HttpToolsProtocol):
    """Ends a connection on which a head grows over HEAD_BYTES_MAX without becoming complete.

    Reads are counted that begin and end within a head, so that the body before it is never taken for a part of it. A
    head may so have what one read takes besides, 256 KB.

    A connection gets `request_timeout_s` for its first request's head, as for each later head, once it began, and as
    much for a body and for each BODY_BYTES_PER_S_MIN of it a second besides. One timer a connection sees to it.
    """

    request_timeout_s = 30.0
    request_since = 0.0  # When a request began to come, in the loop's time.
    body_bytes = 0  # What has come of its body.
    clock: asyncio.TimerHandle | None = None
    answering: Any = None  # The exchange whose turn it is.

    head_bytes = 0
    head_open = False  # A head is being read, and is not complete.
    head_begins = False  # It began in the current read.
    idle_since = 0.0  # When the last answer was whole, in the loop's time.

    def data_received(self, data: bytes) -> None:
        self.head_begins = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("Invalid HTTP request received.")
            return
        except httptools.HttpParserUpgrade:
            self._unsupported_upgrade_warning()
        if self.head_open and not self.head_begins:
            self.head_bytes += len(data)
            if self.head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                self._refuse(HeadTooLarge())

    def on_message_begin(self) -> None:
        self.head_open = self.head_begins = True
        self.request_since = self.loop.time()
        self.body_bytes = 0
        self.head_bytes = 0
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        """As uvicorn's own, with an Exchange, and without WebSockets and a limit of requests: the gateway has one."""
        self.head_open = False
        parser = self.parser
        http_version = parser.get_http_version()
        path, query = self.url, b""
        if not PLAIN_PATH.fullmatch(path):
            url = httptools.parse_url(path)
            path, query = url.path, url.query or b""
        text = path.decode("ascii")
        scope: Any = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": http_version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": parser.get_method().decode("ascii"),
            "root_path": self.root_path,
            "path": self.root_path + (urllib.parse.unquote(text) if "%" in text else text),
            "raw_path": self.root_path.encode("ascii") + path,
            "query_string": query,
            "headers": self.headers,
            "state": self.app_state.copy(),
        }
        self.scope = scope
        before = self.cycle
        keep_alive = http_version != "1.0" and parser.should_keep_alive()
        self.cycle = exchange = Exchange(self, scope, keep_alive=keep_alive)
        if before is None or before.response_complete:
            self._begin(exchange)
        else:  # Sent before the answer to the last one: it waits for its turn.
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))

    def on_body(self, body: bytes) -> None:
        exchange: Any = self.cycle
        self.body_bytes += len(body)
        if not exchange.response_complete:
            exchange.take_body(body)

    def on_message_complete(self) -> None:
        exchange: Any = self.cycle
        if not exchange.response_complete:
            exchange.more_body = False
            exchange.message_event.set()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._begin(self.pipeline.pop()[0])
            return
        self.idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self._end_if_idle)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.request_since = self.loop.time()
        self.clock = self.loop.call_later(self.request_timeout_s, self._look_at_the_clock)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        answering = self.answering  # uvicorn tells the newest request only, which may still wait for its turn.
        if answering is not None and not answering.response_complete:
            answering.left()
        if self.clock is not None:
            self.clock.cancel()
        self._unset_keepalive_if_required()

    def _begin(self, exchange: Any) -> None:
        self.answering = exchange
        exchange.task = self.loop.create_task(exchange.run_asgi(self.app))
        self.tasks.add(exchange.task)

    def _end_if_idle(self) -> None:
        """One timer a connection looks every now and then, so that a request neither makes nor cancels one."""
        self.timeout_keep_alive_task = None
        if self.transport.is_closing() or self.head_open or not self.cycle.response_complete:
            return  # The end of the answer sets the timer anew.
        left_s = self.idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left_s, self._end_if_idle)
        else:
            self.transport.close()

    def _look_at_the_clock(self) -> None:
        """End a request that comes too slowly; what waits for us, and not for the caller, has all time."""
        if self.transport.is_closing():
            return
        now = self.loop.time()
        if not self._waits_for_the_caller():
            self.request_since = now
        left_s = self.request_since + self.request_timeout_s + self.body_bytes / BODY_BYTES_PER_S_MIN - now
        if left_s > 0:
            self.clock = self.loop.call_later(left_s, self._look_at_the_clock)
        elif self.head_open or (self.cycle is not None and not self.cycle.response_started):
            self._refuse(RequestTooSlow())
        else:  # Not a byte came, or the answer has begun before its request was whole.
            self.transport.close()

    def _waits_for_the_caller(self) -> bool:
        """Whether a request has begun to come and is not whole, or a new connection has not begun with one."""
        exchange: Any = self.cycle
        if self.flow.read_paused:
            return False
        if exchange is None or exchange.response_complete:
            return exchange is None or self.head_open
        return bool(exchange.more_body)

    def send_400_response(self, msg: str) -> None:
        self._tell("invalid_http")
        super().send_400_response(msg)

    def _tell(self, code: str | None) -> None:
        """The application never hears of this request, unless it has a way to be told: with metrics it has."""
        told = getattr(self.app, "refused", None)
        if told is not None:
            told(code)

    def _refuse(self, refusal: Refusal) -> None:
        self._tell(refusal.code)
        body = refusal.body()
        self.transport.write(
            b"%bcontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (STATUS_LINE[refusal.status], len(body), body)
        )
        self.transport.close()


def bounded_http(request_timeout_s: float) -> type[BoundedHttp]:
    """The protocol with a time limit of its own."""
    return type("BoundedHttp", (BoundedHttp,), {"request_timeout_s": request_timeout_s})
