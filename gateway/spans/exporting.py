"""Brings spans to a collector, by OTLP over HTTP: in batches, from a thread of its own, with a bounded queue.

A request never waits for it. What the queue cannot hold and what the collector does not take is lost and counted: the
books are the journal, not the spans. The exporter reads OTEL_EXPORTER_OTLP_HEADERS and OTEL_EXPORTER_OTLP_CERTIFICATE,
and the resource OTEL_RESOURCE_ATTRIBUTES, as the SDK documents them.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

WAITING_MAX = 8192  # Spans, each about 4 KB.
BATCH_MAX = 512
INTERVAL_MS = 1000
EXPORT_TIMEOUT_S = 5  # For one batch, retries included.
CLOSE_TIMEOUT_S = 5.0  # For what is left when the process ends.
CLOSING = "spans-close"  # The thread that does it.

log = logging.getLogger(__name__)


class CountedExporter(SpanExporter):
    """Sends batches, and counts what became of them. Called by the thread of `CountedBatches` alone."""

    def __init__(self, url: str) -> None:
        self._exporter = OTLPSpanExporter(endpoint=url, timeout=EXPORT_TIMEOUT_S)
        self.taken = self.sent = self.lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is SpanExportResult.SUCCESS:
                self.sent += len(spans)
            else:
                self.lost += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK gives it no types


class CountedBatches(BatchSpanProcessor):
    """The SDK's batches, that drop the newest span when the queue is full, and count it."""

    def __init__(self, exporter: CountedExporter) -> None:
        super().__init__(
            exporter, max_queue_size=WAITING_MAX, schedule_delay_millis=INTERVAL_MS, max_export_batch_size=BATCH_MAX
        )
        self.exporter = exporter
        self.given = self.dropped = 0

    def on_end(self, span: ReadableSpan) -> None:
        if self.given - self.exporter.taken >= WAITING_MAX:
            self.dropped += 1
            return
        self.given += 1
        super().on_end(span)


class Spans:
    """Makes the spans of one process. None leaves before `start`."""

    def __init__(self, url: str, percent: int, instance: str) -> None:
        """`percent` of the requests whose callers do not say whether they are sampled are sampled."""
        self._url = url
        self._batches: CountedBatches | None = None
        resource = Resource.create({"service.name": "tokenworks-gateway", "service.instance.id": instance})
        sampler = ParentBased(TraceIdRatioBased(percent / 100))
        self._provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
        self.tracer = self._provider.get_tracer("tokenworks.gateway")

    def start(self) -> None:
        self._batches = CountedBatches(CountedExporter(self._url))
        self._provider.add_span_processor(self._batches)

    def counts(self) -> dict[str, int]:
        """Spans of this process by what became of them; what waits is none of these."""
        if self._batches is None:
            return {}
        exporter = self._batches.exporter
        return {"sent": exporter.sent, "lost": exporter.lost, "dropped": self._batches.dropped}

    async def close(self) -> None:
        """Send what is left, and give up after CLOSE_TIMEOUT_S: a collector that is down must not hold up an end."""
        # A thread that ends with the process: the SDK's own wait has a limit of 30 seconds.
        closing = threading.Thread(target=self._provider.shutdown, name=CLOSING, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, CLOSE_TIMEOUT_S)
        counts = self.counts()
        if closing.is_alive() or counts.get("lost") or counts.get("dropped"):
            log.warning("Not all spans reached %s: %s", self._url.rsplit("@", 1)[-1], counts)
