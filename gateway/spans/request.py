"""The spans of one request: what came in, and each attempt at a worker."""

import re

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.asgi import Scope
from gateway.attempt import now_us
from gateway.errors import Refusal
from gateway.spans.attributes import (
    ERROR,
    MODEL,
    STATUS,
    error_of,
    of_attempt,
    of_caller,
    of_closed,
    of_opened,
    of_request,
    operation_of,
    span_name,
)
from gateway.spans.exporting import Spans
from metering.records import Closed, Opened
from metering.usage import Outcome
from providers.dialects.dialect import Call
from providers.snapshot import Deployment
from tenants.snapshot import Principal

# Within a string of JSON each quotation mark has a backslash before it, so this is found as a member only.
FINISH_REASON = re.compile(rb'"finish_reason": ?"([a-z_]{1,32})"')
FINISH_REASONS_MAX = 128  # As many as the answers that one call may ask for.
FINISH_WITHIN_BYTES = 2**20  # What is longer is not searched.
POOL = "pool"  # The kind of upstream that is ours, and may know our callers' traces.

_propagator = TraceContextTextMapPropagator()


class RequestSpans:
    """The span of one request and those of its attempts. Without a sample nothing is gathered, and ids go on."""

    def __init__(self, spans: Spans, scope: Scope) -> None:
        method, path = scope["method"], scope["path"]
        said = of_request(method, path, scope.get("scheme", "http"))
        self._tracer = spans.tracer
        self._operation = operation_of(said)
        self.span = spans.tracer.start_span(
            self._operation,
            context=parent_of(scope),
            kind=SpanKind.SERVER,
            attributes=said,
            start_time=now_us() * 1000,
        )
        self.sampled = self.span.is_recording()
        self.attempts = 0
        self.request_id = ""
        self.status: int | None = None
        self.error: str | None = None
        self.headers = b""  # Lines for the upstream of the current attempt.
        self._finish_reasons: list[str] = []
        self._closed: tuple[Span, int] | None = None  # The last attempt's, and when it was closed.

    def begin_attempt(self, opened: Opened, call: Call, deployment: Deployment, base_url: str) -> Span:
        """The span of an attempt; it is the parent of whatever the worker tells of it."""
        self._end_attempt()
        self.attempts += 1
        span = self._tracer.start_span(
            span_name(call.kind.value, deployment.model_name),
            context=set_span_in_context(self.span, Context()),
            kind=SpanKind.CLIENT,
            start_time=opened.opened_at_us * 1000,
        )
        if self.sampled:
            said = of_opened(opened)
            self.span.set_attributes(said)
            self._name(opened.offering)
            span.set_attributes({**said, **of_attempt(call, deployment, base_url, self.attempts)})
        self.headers = headers_of(span) if deployment.upstream_kind == POOL else b""
        return span

    def closed(self, span: Span, closed: Closed) -> None:
        """The attempt's record was written. Its span goes out when the answer has: only that says why it finished."""
        if self.sampled:
            said = of_closed(closed)
            span.set_attributes(said)
            if ERROR in said:
                span.set_status(StatusCode.ERROR)
            self.span.set_attribute("tokenworks.outcome", said["tokenworks.outcome"])
            # A caller's own mistake, found by the upstream, is no error of this service.
            self.error = error_of(closed) if closed.outcome != Outcome.UPSTREAM_REJECTED else None
        self._closed = (span, closed.closed_at_us * 1000)

    def gives(self, answer: bytes) -> None:
        """A part of the answer goes to the caller: whole events, or all of it."""
        if len(answer) <= FINISH_WITHIN_BYTES and len(self._finish_reasons) < FINISH_REASONS_MAX:
            self._finish_reasons += [reason.decode() for reason in FINISH_REASON.findall(answer)]

    def refused(self, refusal: Refusal, principal: Principal | None) -> None:
        """An error of ours is the answer, or the end of one."""
        code = refusal.code or "bad_request"
        self.span.set_attribute("tokenworks.refusal", code)
        if refusal.status >= 500:
            self.error = code
        if refusal.model is not None:
            self._name(refusal.model)
        if principal is not None:
            self.span.set_attributes(of_caller(principal.tenant_id, principal.project_id, principal.key_id))

    def end(self) -> None:
        if self.sampled:
            self.span.set_attributes({"tokenworks.attempts": self.attempts, "tokenworks.request.id": self.request_id})
            if self.status is not None:
                self.span.set_attribute(STATUS, self.status)
            if self.error is not None:
                self.span.set_attribute(ERROR, self.error)
                self.span.set_status(StatusCode.ERROR)
        self._end_attempt()
        self.span.end(now_us() * 1000)

    def _end_attempt(self) -> None:
        if self._closed is None:
            return
        span, ended_at_ns = self._closed
        if self._finish_reasons:
            span.set_attribute("gen_ai.response.finish_reasons", self._finish_reasons[:FINISH_REASONS_MAX])
        span.end(ended_at_ns)
        self._closed = None

    def _name(self, offering: str) -> None:
        self.span.update_name(span_name(self._operation, offering))
        self.span.set_attributes({MODEL: offering, "tokenworks.offering": offering})


def parent_of(scope: Scope) -> Context:
    """Whose part the caller says that its request is, by W3C's Trace Context; what cannot be read says nothing."""
    found = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"traceparent", b"tracestate")
    }
    return _propagator.extract(found, Context()) if found else Context()


def headers_of(span: Span) -> bytes:
    """Header lines that tell an upstream whose part its work is."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, set_span_in_context(span, Context()))
    return "".join(f"{name}: {value}\r\n" for name, value in carrier.items()).encode("latin-1")
