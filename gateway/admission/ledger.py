"""All leases of one gateway process, by tenant, and which of them counts for a quota now."""

from collections.abc import Iterator
from datetime import UTC, datetime

from billing.windows import Window, counter_key, window_at
from gateway.admission.leases import Lease
from gateway.admission.terms import Quota

MINUTE_S = 60
FORGET_AFTER_S = 60  # Of a lease without a window that holds nothing.


def window_of(quota: Quota, now_s: float) -> Window:
    if quota.is_budget:
        return window_at(quota.window, quota.time_zone, quota.since_s, datetime.fromtimestamp(now_s, UTC))
    if not quota.window:
        return Window(0, None)
    start_s = int(now_s) // MINUTE_S * MINUTE_S
    return Window(start_s, start_s + MINUTE_S)


class Ledger:
    """It grows with the quotas in use, one lease each and for a moment that of the window before."""

    def __init__(self) -> None:
        self._current: dict[str, Lease] = {}  # By the quota's name.
        self._of: dict[int, dict[str, Lease]] = {}  # By tenant, then by the counter's name.
        self.changes = 0  # How often another lease, or one cut to another limit, came to stand for a quota.
        self._spent_before: dict[str, int] = {}  # By earlier lives of this gateway, by the counter's name.

    def lease(self, tenant_id: int, quota: Quota, now_s: float) -> Lease:
        """The lease that counts for a quota now."""
        lease = self._current.get(quota.name)
        if lease is None or now_s >= lease.ends_s:
            lease = self._begin(tenant_id, quota, window_of(quota, now_s), now_s)
        elif lease.quota is not quota:
            if lease.quota != quota:
                window = window_of(quota, now_s)
                if window != lease.window:
                    lease = self._begin(tenant_id, quota, window, now_s)
                self.changes += 1
                lease.give_back()  # It was cut to another limit: what is free must be asked for again.
            lease.quota = quota
        lease.used_at_s = now_s
        return lease

    def standing(self, key: str) -> tuple[int, int]:
        """What is spent and leased of a counter."""
        lease = self._find(key)
        return (self._spent_before.get(key, 0), 0) if lease is None else (lease.spent, lease.leased)

    def correct(self, key: str, by: int) -> None:
        """So much more was spent of a counter: by an earlier life, or as the journal says."""
        lease = self._find(key)
        if lease is None:
            self._spent_before[key] = self._spent_before.get(key, 0) + by
        else:
            lease.spent += by

    def tell_all_anew(self) -> None:
        """What the counters were told is not to be relied on."""
        for lease in self.all_leases():
            lease.reported = None

    def tenants(self) -> list[int]:
        return list(self._of)

    def leases(self, tenant_id: int) -> list[Lease]:
        return list(self._of.get(tenant_id, {}).values())

    def all_leases(self) -> Iterator[Lease]:
        for leases in self._of.values():
            yield from leases.values()

    def forget_done(self, tenant_id: int, now_s: float) -> None:
        """Drop leases that hold nothing and that the counter knows all about. Of a running window none may go."""
        leases = self._of[tenant_id]
        for key, lease in list(leases.items()):
            if lease.held == 0 and lease.leased == 0 and lease.is_reported and _is_done(lease, now_s):
                del leases[key]
                self._spent_before.pop(key, None)
                if self._current.get(lease.quota.name) is lease:
                    del self._current[lease.quota.name]
                    self.changes += 1
        if not leases:
            del self._of[tenant_id]

    def _find(self, key: str) -> Lease | None:
        return next((leases[key] for leases in self._of.values() if key in leases), None)

    def _begin(self, tenant_id: int, quota: Quota, window: Window, now_s: float) -> Lease:
        key = counter_key(quota.name, window)
        leases = self._of.setdefault(tenant_id, {})
        lease = leases.get(key)
        if lease is None:
            lease = leases[key] = Lease(key, quota, window, self._spent_before.get(key, 0), now_s)
        self._current[quota.name] = lease
        self.changes += 1
        return lease


def _is_done(lease: Lease, now_s: float) -> bool:
    if lease.window.end_s is None:
        return not lease.quota.is_budget and now_s - lease.used_at_s >= FORGET_AFTER_S
    return lease.is_over(now_s)
