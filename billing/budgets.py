"""Begins the counters of budgets in Valkey: what was used before gateways count is read from the buckets.

Windows to come begin with nothing used, so they are counted ahead: at midnight nobody waits. What is still on its way
from journals to buckets while a budget is made, a matter of seconds, is not in its first count.

A counter that Valkey has lost is begun again when its gateways have had the time to say anew what they have. The base
says up to which record it counts each journal, and each gateway adds what its own journal holds behind that.
"""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime

import redis
from django.db import connection
from django.utils import timezone

from billing.bounds import most
from billing.counters import began_ms, begin, counters, reached, tell_all_anew
from billing.periods import QUARTER_HOUR_S, months_in
from billing.rating import Used
from billing.snapshot import WALLETS_SQL
from billing.tariffs import tariff_of
from billing.windows import BASE, Window, counter_key, nano, window_at, windows_from
from metering.models import Bucket
from metering.rollup import fold_everything
from metering.usage import TOKEN_UNITS
from tenants.models import Budget, Tenant
from tenants.snapshot import BUDGETS_SQL, BudgetRow

log = logging.getLogger(__name__)

AHEAD = 3  # Windows that have a counter: this one and those that follow.
KEPT_AFTER_S = 7 * 86_400
WALLET_KEPT_S = 400 * 86_400  # Each closing begins another counter; one that is in use for longer is counted anew.
SETTLED_AFTER_S = 5  # A gateway looks every second whether Valkey knows what it told, and tells it anew within another.


def all_budgets() -> list[BudgetRow]:
    """Budgets and wallets, those included that gateways do not heed yet."""
    with connection.cursor() as cursor:
        cursor.execute(BUDGETS_SQL.replace("WHERE b.counted_at IS NOT NULL", ""))
        rows = cursor.fetchall()
        cursor.execute(WALLETS_SQL)
        return [BudgetRow(*row) for row in rows + cursor.fetchall()]


def count_all(now: datetime | None = None, *, only: str | None = None) -> None:
    """Begin every counter that is missing, then let gateways heed its budget. It may run twice at once.

    `only` names one budget, whose counter is begun and no other.
    """
    now = now or timezone.now()
    zones = time_zones()
    with counters() as store:
        began, valkeys_now = began_ms(store)
        is_settled = valkeys_now - began >= SETTLED_AFTER_S * 1000
        for budget in all_budgets():
            if only not in (None, budget.name):
                continue
            is_lost = began // 1000 > budget.since_s  # Valkey's data is younger than the budget.
            for window in windows_from(budget.window, zones[budget.tenant_id], budget.since_s, now, AHEAD):
                if is_settled or not is_lost or window.start_s > now.timestamp():
                    _begin(store, budget, window, now, is_lost=is_lost)
    if only is None:
        Budget.objects.filter(counted_at=None, created_at__lte=now).update(counted_at=now)


def recount_all(now: datetime | None = None, *, gone: str = "") -> int:
    """Count every budget's current window anew from the buckets, and forget what the gateway of journal `gone` holds.

    Returns how many counters that were. Until gateways have said the rest anew, a second or two, a budget that looks
    spent answers 503.
    """
    now = now or timezone.now()
    fold_everything()
    zones = time_zones()
    budgets = all_budgets()
    with counters() as store:
        for budget in budgets:
            window = window_at(budget.window, zones[budget.tenant_id], budget.since_s, now)
            known = reached(window)  # Before the buckets: what is folded meanwhile counts twice rather than not at all.
            base = used_in(budget, _from_its_quarter(window))
            begin(store, counter_key(budget.name, window), base, known, replaces=True, gone=gone)
        tell_all_anew(store)
    return len(budgets)


def count_wallet(tenant_id: int, now: datetime) -> None:
    """Begin the counter of a wallet that an invoice was drawn from, before gateways ask for it.

    Where Valkey is away `count_all` does it later, and gateways wait for that.
    """
    try:
        count_all(now, only=f"wallet:{tenant_id}")
    except redis.RedisError as failure:
        log.warning("The counter of wallet:%d begins later: %s", tenant_id, failure)


def is_wallet(budget: BudgetRow) -> bool:
    return budget.name.startswith("wallet:")


def time_zones() -> dict[int, str]:
    return dict(Tenant.objects.values_list("id", "time_zone"))


def _begin(store: "redis.Redis", budget: BudgetRow, window: Window, now: datetime, *, is_lost: bool) -> None:
    key = counter_key(budget.name, window)
    if store.hexists(key, BASE):
        return
    known, base = {}, 0
    if window.start_s <= now.timestamp():
        if is_lost or window.start_s > budget.since_s or is_wallet(budget):
            # Gateways counted in it already, for they heeded the budget, or the wallet before its last invoice.
            known = reached(window)  # Before the buckets: see recount_all.
        base = used_in(budget, _from_its_quarter(window) if is_lost else window)
    if not begin(store, key, base, known):
        return
    if window.end_s is not None:
        store.expireat(key, window.end_s + KEPT_AFTER_S)
    elif is_wallet(budget):
        store.expire(key, WALLET_KEPT_S)
    log.log(logging.WARNING if known else logging.INFO, "Counter %s begins with %d.", key, base)


def _from_its_quarter(window: Window) -> Window:
    """From the bucket that the window begins in, for a budget in total: what was used in it before counts, too."""
    return Window(window.start_s // QUARTER_HOUR_S * QUARTER_HOUR_S, window.end_s)


def used_in(budget: BudgetRow, window: Window) -> int:
    """What the buckets say was used of a budget since the window began: tokens, or 10^-9 of the currency at most."""
    found = list(_used(budget, window))
    if not budget.is_money:
        return sum(used.quantity for used in found if used.unit in TOKEN_UNITS)
    zone = Tenant.objects.values_list("time_zone", flat=True).get(pk=budget.tenant_id)
    return nano(most(found, tariff_of(budget.tenant_id), months_in(zone)))


def _used(budget: BudgetRow, window: Window) -> Iterable[Used]:
    buckets = Bucket.objects.filter(
        tenant_id=budget.tenant_id, billed=True, start__gte=datetime.fromtimestamp(window.start_s, UTC)
    )
    if window.end_s is not None:
        buckets = buckets.filter(start__lt=datetime.fromtimestamp(window.end_s, UTC))
    if budget.project_id is not None:
        buckets = buckets.filter(project_id=budget.project_id)
    if budget.key_id is not None:
        buckets = buckets.filter(api_key_id=budget.key_id)
    columns = ("start", "project_id", "offering", "unit", "quantity", "grade", "service_tier")
    for row in buckets.values_list(*columns).iterator():
        yield Used(*row)
