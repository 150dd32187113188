"""One try at one deployment, as the journal knows it: opened before it leaves, closed before its answer does."""

import logging
import time
import uuid

from gateway.asgi import Request
from gateway.errors import JournalDown
from metering.journal import Journal, JournalUnavailable
from metering.records import Closed, Opened
from metering.usage import Outcome, billed
from providers.dialects.dialect import NOTHING_COUNTED, Call, Counted
from providers.snapshot import Deployment
from tenants.snapshot import Principal

log = logging.getLogger(__name__)


def now_us() -> int:
    """Microseconds since the epoch, UTC."""
    return time.time_ns() // 1000


class Attempt:
    """Opens its event when it is made, and closes it once. Raises JournalDown, and then nothing may be given away."""

    __slots__ = (
        "_admitted", "_journal", "_opened", "base_url", "first_byte_at_us", "is_open", "outcome", "upstream_status",
    )  # fmt: skip

    def __init__(
        self,
        journal: Journal,
        request: Request,
        principal: Principal,
        deployment: Deployment,
        call: Call,
        base_url: str,
    ) -> None:
        self._journal = journal
        self.base_url = base_url  # Of the worker that is asked.
        self._admitted = request.admitted
        self.first_byte_at_us: int | None = None
        self.upstream_status: int | None = None
        self.outcome: Outcome | None = None  # None while it is open.
        self._opened = Opened(
            event_id=request.event_id,
            opened_at_us=request.started_at_us,
            tenant_id=principal.tenant_id,
            project_id=principal.project_id,
            api_key_id=principal.key_id,
            offering=deployment.offering,
            deployment=deployment.slug,
            streamed=call.streamed,
        )
        try:
            journal.append_opened(self._opened)
        except JournalUnavailable as problem:
            log.error("No request can be recorded: %s", problem)
            raise JournalDown from None
        self.is_open = True

    def close(self, outcome: Outcome, counted: Counted = NOTHING_COUNTED) -> Closed:
        """Write how it ended. It never waits, so nothing can come between, and it must come before the last bytes."""
        self.is_open = False
        self.outcome = outcome
        if counted.flaw is not None:
            log.warning("Event %s: %s", uuid.UUID(bytes=self._opened.event_id), counted.flaw)
        closed = Closed(
            opened=self._opened,
            closed_at_us=now_us(),
            first_byte_at_us=self.first_byte_at_us,
            outcome=outcome,
            usage_source=counted.source,
            billed=billed(outcome, counted.usage),
            usage=counted.usage,
            upstream_status=self.upstream_status,
            upstream_usage=counted.upstream_usage,
        )
        try:
            self._journal.append_closed(closed)
        except JournalUnavailable as problem:
            log.error("An answer cannot be recorded, and is not given away: %s", problem)
            raise JournalDown from None
        if self._admitted is not None:
            self._admitted.settle(closed)
        return closed
