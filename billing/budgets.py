"""Begins the counters of budgets in Valkey: what was used before gateways count is read from the buckets.

Windows to come begin with nothing used, so they are counted ahead: at midnight nobody waits. What is still on its way
from journals to buckets while a budget is made, a matter of seconds, is not in its first count.
"""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime

import redis
from django.conf import settings
from django.db import connection
from django.utils import timezone

from billing.rating import Used, rate
from billing.snapshot import WALLETS_SQL
from billing.tariffs import tariff_of
from billing.windows import BASE, Window, counter_key, nano, windows_from
from metering.models import Bucket
from metering.usage import TOKEN_UNITS, sold_as
from tenants.models import Budget, Tenant
from tenants.snapshot import BUDGETS_SQL, BudgetRow

log = logging.getLogger(__name__)

AHEAD = 3  # Windows that have a counter: this one and those that follow.
KEPT_AFTER_S = 7 * 86_400
TIMEOUT_S = 5


def counters() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, decode_responses=True
    )


def all_budgets() -> list[BudgetRow]:
    """Budgets and wallets, those included that gateways do not heed yet."""
    with connection.cursor() as cursor:
        cursor.execute(BUDGETS_SQL.replace("WHERE b.counted_at IS NOT NULL", ""))
        rows = cursor.fetchall()
        cursor.execute(WALLETS_SQL)
        return [BudgetRow(*row) for row in rows + cursor.fetchall()]


def count_all(now: datetime | None = None) -> None:
    """Begin every counter that is missing, then let gateways heed its budget. It may run twice at once."""
    now = now or timezone.now()
    zones = dict(Tenant.objects.values_list("id", "time_zone"))
    with counters() as store:
        for budget in all_budgets():
            for window in windows_from(budget.window, zones[budget.tenant_id], budget.since_s, now, AHEAD):
                _begin(store, budget, window, now)
    Budget.objects.filter(counted_at=None, created_at__lte=now).update(counted_at=now)


def _begin(store: "redis.Redis", budget: BudgetRow, window: Window, now: datetime) -> None:
    key = counter_key(budget.name, window)
    if store.hexists(key, BASE):
        return
    base = used_in(budget, window) if window.start_s <= now.timestamp() else 0
    store.hsetnx(key, BASE, base)
    if window.end_s is not None:
        store.expireat(key, window.end_s + KEPT_AFTER_S)
    log.info("Counter %s begins with %d.", key, base)


def used_in(budget: BudgetRow, window: Window) -> int:
    """What the buckets say was used of a budget since the window began: tokens, or 10^-9 of the currency."""
    found = list(_used(budget, window))
    if not budget.is_money:
        return sum(used.quantity for used in found if used.unit in TOKEN_UNITS)
    lines = rate(found, tariff_of(budget.tenant_id), lambda at: at.date()).lines
    return nano(sum(line.amount.pico for line in lines))


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
    columns = ("start", "project_id", "offering", "service_tier", "unit", "quantity")
    for at, project_id, offering, tier, unit, quantity in buckets.values_list(*columns).iterator():
        yield Used(at, project_id, sold_as(offering, tier), unit, quantity)
