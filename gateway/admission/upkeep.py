"""Keeps a gateway's leases honest: tells the counters what was spent, gives back what lies idle, and takes over what an
earlier life of this gateway left behind.
"""

import asyncio
import logging
import time
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from billing.windows import RECOUNTED, window_at
from gateway.admission import recovery
from gateway.admission.counters import Counters, CountersUnreachable, Reply
from gateway.admission.leases import Ask, Lease
from gateway.admission.ledger import Ledger
from gateway.admission.pricing import NoPrice
from gateway.admission.terms import Draws, Quota, TenantTerms
from gateway.loading import Snapshots
from metering.journal import Journal
from metering.records import Closed
from tenants.snapshot import BudgetRow

TICK_S = 0.25
REPORT_AFTER_S = 0.5
IDLE_S = 1.0
RENEW_AFTER_S = 3.0  # Well within what the counters believe a silent gateway (ALIVE_MS).
PROOF_AFTER_S = 1.0  # Without any call for so long, ask whether the counters are still there.
TRIES = 3  # Besides one for each counter, whose part may have to be taken over first.

log = logging.getLogger(__name__)


class Upkeep:
    """The one that speaks with the counters. Calls about one tenant follow each other, for each says all anew."""

    def __init__(self, counters: Counters, journal: Journal, folder: Path, snapshots: Snapshots) -> None:
        self.ledger = Ledger()
        self.counters = counters
        self.away = False  # The counters did not answer when last asked.
        self._journal = journal
        self._folder = folder
        self._snapshots = snapshots
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._called_at_s = 0.0
        self._began = ""  # Since when the counters know what they know.
        self._is_forgotten = False  # They have lost it since, and not only our leases must be told.
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._bringing: dict[int, asyncio.Task[None]] = {}  # By tenant.

    async def start(self) -> None:
        """Take over what an earlier life left, as far as the counters are there, and begin to tick."""
        if self._has_budgets():
            await self._look()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="admission")

    async def stop(self) -> None:
        """Give everything back that is not spent.

        A tick that runs is let end, and not cancelled: redis-py may take a cancellation that comes just as its call
        times out for the time-out, and the ticking would go on for ever.
        """
        self._stopping.set()
        if self._task is not None:
            await asyncio.gather(self._task, *self._bringing.values(), return_exceptions=True)
        for tenant_id in self.ledger.tenants():
            leases = self.ledger.leases(tenant_id)
            for lease in leases:
                lease.give_back()
            if not self.away:
                await self._tell(tenant_id, leases)
        await self.counters.close()

    def lock(self, tenant_id: int) -> asyncio.Lock:
        return self._locks[tenant_id]

    def bring_more(self, tenant_id: int, asks: list[Ask]) -> None:
        """Fill these leases in the background, so that no request has to wait until it is done."""
        if asks and tenant_id not in self._bringing and not self._stopping.is_set():
            bringing = asyncio.get_running_loop().create_task(self._bring(tenant_id, asks), name="leases ahead")
            self._bringing[tenant_id] = bringing

    async def _bring(self, tenant_id: int, asks: list[Ask]) -> None:
        try:
            async with self.lock(tenant_id):
                wanting = [ask for ask in asks if ask.lease.free < ask.lease.low]  # Others may have been quicker.
                if not wanting or self.away:
                    return
                reply = await self.take(wanting)
                if reply.outcome == "taken":
                    for ask, grant in zip(wanting, reply.grants, strict=True):
                        ask.lease.filled(grant, ask.need)
                else:  # Near that limit a request asks for itself, and is told why not.
                    wanting[reply.at].lease.low = 0
        except CountersUnreachable:
            pass  # Said once by `take`.
        finally:
            del self._bringing[tenant_id]

    async def take(self, asks: list[Ask]) -> Reply:
        """Ask with the tenant's lock held. Raises CountersUnreachable, and remembers that they are away."""
        try:
            for _ in range(len(asks) + TRIES):
                reply = await self.counters.take(asks, self._journal.sequence)
                self._heard_since(reply.began)
                if reply.outcome == "earlier":
                    await self._take_over(asks[reply.at].lease.key)
                elif reply.outcome != "late":
                    return reply
        except CountersUnreachable as trouble:
            if not self.away:
                log.error("The counters of limits are away: %s", trouble)
            self.away = True
            raise
        raise CountersUnreachable("Another gateway writes this journal's part of the counters.")

    async def _run(self) -> None:
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._stopping.wait()
            try:
                await self._tick()
            except Exception:  # Whatever it is: without this task nothing is ever given back.
                log.exception("The leases could not be kept.")

    async def _tick(self) -> None:
        if self.away:
            await self._look()
            return
        for tenant_id in self.ledger.tenants():
            now_s = time.time()
            if due := [lease for lease in self.ledger.leases(tenant_id) if is_due(lease, now_s)]:
                await self._tell(tenant_id, due)
            self.ledger.forget_done(tenant_id, now_s)
            if tenant_id not in self.ledger.tenants() and not self._locks[tenant_id].locked():
                del self._locks[tenant_id]
        is_quiet = time.time() - self._called_at_s > PROOF_AFTER_S
        if self._is_forgotten or (is_quiet and (self.ledger.tenants() or self._has_budgets())):
            self._is_forgotten = False
            await self._look()

    async def _look(self) -> None:
        """Find out whether the counters are there; when they have come back, take over what is still to be."""
        try:
            self._heard_since(await self.counters.began())
            for key in await self.counters.had_before():
                await self._take_over_alone(key)
        except CountersUnreachable as trouble:
            if not self.away:
                log.error("The counters of limits are away: %s", trouble)
            self.away = True
            return
        if self.away:
            log.warning("The counters of limits are back.")
            self.ledger.tell_all_anew()  # They may have come back with less than they knew.
        self.away = False

    def _heard_since(self, began: str) -> None:
        """The counters answered, and know what they know since then."""
        self._called_at_s = time.time()
        if self._began not in ("", began):
            log.error("The counters of limits have lost what they knew. They are told anew.")
            self.ledger.tell_all_anew()
            self._is_forgotten = True
        self._began = began

    async def _tell(self, tenant_id: int, leases: list[Lease]) -> None:
        async with self._locks[tenant_id]:
            now_s = time.time()
            for lease in leases:
                if is_idle(lease, now_s):
                    lease.give_back()
                lease.told_at_s = now_s
            try:
                await self.take([Ask(lease) for lease in leases])
            except CountersUnreachable:
                return  # Said once by `take`; the next tick says all of this anew.

    async def _take_over_alone(self, key: str) -> None:
        """Take over as `take` does, where no call is under way that does."""
        found = self._budget_of(key)
        if found is None:
            await self._take_over(key)
        else:
            async with self._locks[found[0].tenant.id]:
                await self._take_over(key)

    async def _take_over(self, key: str) -> None:
        """Work out from the journal what the counter cannot know, and say it in place of what it says.

        That is what an earlier life spent after its last report, whose other leases are free then; and where
        Postgres was counted anew, all that came behind what the buckets hold.
        """
        field = await self.counters.part_of(key)
        if field is None or (part := recovery.Part.read(field)).life == self.counters.life:
            return  # Another call of ours was quicker.
        until, (known, leased) = self._journal.sequence, self.ledger.standing(key)
        endings = await asyncio.to_thread(recovery.closed_between, self._folder, part.sequence, until)
        drawn = self._drawn(key, endings)
        if part.life == RECOUNTED:
            # Where it cannot be worked out, what the base holds of it counts twice rather than not at all.
            spent = max(known, part.spent + part.leased) if drawn is None else drawn
        elif drawn is not None:
            spent = part.spent + drawn
        else:
            if part.leased:
                log.warning("All of %d leased of %s counts as spent: it cannot be worked out.", part.leased, key)
            spent = known + part.spent + part.leased
        if await self.counters.adopt(key, field, spent, leased, until):
            self.ledger.correct(key, spent - known)

    def _drawn(self, key: str, endings: list[Closed] | None) -> int | None:
        """What these endings draw from a counter; None where nobody knows."""
        found = self._budget_of(key)
        if endings is None or found is None:
            return None
        tenant, row, quota = found
        begins = datetime.fromtimestamp(int(key.rpartition(":")[2]), UTC)
        window = window_at(quota.window, quota.time_zone, quota.since_s, begins)
        try:
            return recovery.spent_by(endings, row, quota, window, tenant.tariff)
        except NoPrice:
            return None

    def _budget_of(self, key: str) -> tuple[TenantTerms, BudgetRow, Quota] | None:
        """Whose counter that is."""
        name = key.removeprefix("tokenworks:").rpartition(":")[0]
        snapshot = self._snapshots.current
        for tenant in () if snapshot is None else snapshot.limited.values():
            if (found := tenant.budget(name)) is not None:
                return tenant, *found
        return None

    def _has_budgets(self) -> bool:
        snapshot = self._snapshots.current
        return snapshot is not None and any(tenant.budgets for tenant in snapshot.limited.values())


def is_idle(lease: Lease, now_s: float) -> bool:
    """Whether what is free should be others'."""
    unused_s = now_s - lease.used_at_s
    return lease.free > 0 and (lease.is_tight or unused_s >= IDLE_S or lease.is_over(now_s))


def is_due(lease: Lease, now_s: float) -> bool:
    """Whether the counter should be told something."""
    if is_idle(lease, now_s) or lease.free < 0:
        return True
    since_s = now_s - lease.told_at_s
    if lease.quota.draws is Draws.PARALLEL and lease.leased and since_s >= RENEW_AFTER_S:
        return True
    return not lease.is_reported and (since_s >= REPORT_AFTER_S or lease.is_over(now_s))
