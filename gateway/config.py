"""What a gateway process is told when it starts. The settings fill it in; nothing here reads the environment."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """Addresses, places and limits of one gateway process. Everything that can grow has its limit here."""

    database_url: str
    home: Path  # Journals and the saved snapshot lie under it.

    journal_name: str
    journal_fsync_ms: int
    journal_segment_bytes_max: int

    body_bytes_max: int  # Of a caller's request.
    event_bytes_max: int  # Of one event of a streamed answer.
    answer_bytes_max: int  # Of a whole answer, streamed or not.
    requests_open_max: int

    connect_timeout_s: float
    first_byte_timeout_s: float  # From the request's last byte to the answer's head.
    idle_timeout_s: float  # Between two reads of an answer.

    snapshot_check_s: float

    redis_url: str = ""  # Of the Valkey with the counters of limits; asked only for tenants that have some.

    probe_interval_s: float = 0  # 0: workers are not probed.
    retry_percent: int = 20  # Of all requests, that may be sent to a second worker.

    metrics_secret: str = ""  # Whoever knows it may read the metrics. Empty: nothing is counted.

    spans_url: str = ""  # Of the collector that takes spans by OTLP over HTTP. Empty: none are made.
    spans_percent: int = 100  # Of the requests whose callers do not decide, that become spans.

    upstream_connections_max: int = 4096  # To one worker, busy and idle together.
