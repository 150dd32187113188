"""The data plane as an ASGI application: opened once, called for every request under /v1, closed once."""

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING, ClassVar

from gateway.admission.admission import Admission
from gateway.admission.counters import Counters
from gateway.admission.upkeep import Upkeep
from gateway.answer import AnswerLimits
from gateway.asgi import Receive, Request, Scope, Send
from gateway.attempt import Attempt, now_us
from gateway.callers import principal_of
from gateway.config import GatewayConfig
from gateway.endpoints import endpoint
from gateway.errors import CallerLeft, NotReady, Refusal, TooManyRequestsOpen, Unexpected
from gateway.health import Prober
from gateway.loading import DatabaseSnapshots, Snapshots
from gateway.plane import Plane
from gateway.pool import UpstreamClient
from gateway.retrying import RetryBudget
from gateway.routing import Router
from gateway.snapshot import Snapshot
from metering.journal import Journal
from metering.segments import ensure_journal_id
from tenants.snapshot import Principal

if TYPE_CHECKING:
    from gateway.metrics.watch import Watch

HEAD_BYTES_MAX = 64 * 1024

log = logging.getLogger(__name__)


class Gateway:
    """One gateway process. `snapshots` replaces the ones from the database.

    `gateway.spans` names other classes of requests and attempts, so that spans cost nothing where there are none.
    """

    request_class: ClassVar[type[Request]] = Request
    attempt_class: ClassVar[type[Attempt]] = Attempt

    def __init__(self, config: GatewayConfig, snapshots: Snapshots | None = None) -> None:
        self.config = config
        self._snapshots = snapshots or DatabaseSnapshots(
            config.database_url, config.home / "snapshot.msgpack", config.snapshot_check_s
        )
        self._plane: Plane | None = None
        self._prober: Prober | None = None
        self._upkeep: Upkeep | None = None
        self.watch: Watch | None = None  # None where nothing is counted.
        self.requests_open = 0

    async def startup(self) -> None:
        """Open the journal and get a first snapshot. Raises JournalInUse or JournalUnavailable."""
        config = self.config
        journal = journal_class(config).open(
            config.home / "journal" / config.journal_name,
            segment_bytes_max=config.journal_segment_bytes_max,
            fsync_interval_ms=config.journal_fsync_ms,
        )
        limits = AnswerLimits(
            head_bytes_max=HEAD_BYTES_MAX,
            answer_bytes_max=config.answer_bytes_max,
            first_byte_timeout_s=config.first_byte_timeout_s,
            idle_timeout_s=config.idle_timeout_s,
        )
        upstreams = UpstreamClient(
            limits, connect_timeout_s=config.connect_timeout_s, connections_max=config.upstream_connections_max
        )
        router = Router(asyncio.get_running_loop().time)
        folder = config.home / "journal" / config.journal_name
        counters = Counters(config.redis_url, ensure_journal_id(folder).hex, uuid.uuid4().hex)
        self._upkeep = Upkeep(counters, journal, folder, self._snapshots)
        admission = Admission(self._upkeep)
        retries = RetryBudget(config.retry_percent)
        self._plane = Plane(config, admission, journal, upstreams, router, retries, self.attempt_class)
        if config.metrics_secret:
            self.watch = watching(self._plane, self._upkeep, self._snapshots)
        await asyncio.to_thread(self._snapshots.start)
        if config.probe_interval_s:
            self._prober = Prober(router, self._snapshots, config.probe_interval_s)
            self._prober.start()
        await self._upkeep.start()

    async def shutdown(self) -> None:
        """End what is left, and let go of the journal."""
        if self._prober is not None:
            await self._prober.stop()
        if self._upkeep is not None:
            await self._upkeep.stop()
        await asyncio.to_thread(self._snapshots.stop)
        if self._plane is not None:
            self._plane.upstreams.close()
            self._plane.journal.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = self.request_class(scope, receive, send, now_us())
        self.requests_open += 1
        try:
            plane, snapshot, principal = self._called_by(request)
            answer = endpoint(request.scope["path"], request.scope["method"])
            await answer(plane, snapshot, principal, request)
        except Refusal as refusal:
            await self._refuse(request, refusal)
        except CallerLeft:
            pass
        except Exception:
            log.exception("Request %s failed by a mistake of ours.", request.id_text)
            if request.answered:
                raise
            await self._refuse(request, Unexpected())
        finally:
            if request.admitted is not None:
                request.admitted.release()
            self.requests_open -= 1

    async def _refuse(self, request: Request, refusal: Refusal) -> None:
        if request.answered:
            return
        if self.watch is not None:
            self.watch.counts.refused(refusal.code)
        await request.refuse(refusal)

    def _called_by(self, request: Request) -> tuple[Plane, Snapshot, Principal]:
        """Who calls, as far as they may call at all. Raises a Refusal."""
        if self.requests_open > self.config.requests_open_max:
            raise TooManyRequestsOpen
        snapshot = self._snapshots.current
        if snapshot is None or self._plane is None:
            raise NotReady
        principal = principal_of(request, snapshot)
        request.terms = snapshot.terms_of(principal)
        if request.terms is not None:
            client = request.scope.get("client")
            request.terms.check_access(client[0] if client else None, request.started_at_us)
        return self._plane, snapshot, principal


def gateway_class(config: GatewayConfig) -> type[Gateway]:
    """The gateway that makes spans, where they are on. OpenTelemetry is loaded then and only then."""
    if not config.spans_url:
        return Gateway
    from gateway.spans.gateway import SpannedGateway

    return SpannedGateway


def journal_class(config: GatewayConfig) -> type[Journal]:
    """The journal that counts, where metrics are on."""
    if not config.metrics_secret:
        return Journal
    from gateway.metrics.counts import CountedJournal

    return CountedJournal


def watching(plane: Plane, upkeep: Upkeep, snapshots: Snapshots) -> "Watch":
    """What answers for the metrics, loaded where they are on."""
    from gateway.metrics.counts import CountedJournal
    from gateway.metrics.watch import Watch

    assert isinstance(plane.journal, CountedJournal)
    return Watch(plane.journal.counts, plane, upkeep, snapshots)
