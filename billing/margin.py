"""What was earned with each tenant and model, what it cost to make, and what is left. Reads; writes nothing.

Revenue is billed usage at the prices in force, exact and not rounded to invoice lines. Cost is the allocated part of
the hardware's pool-hours, of billed and of unbilled usage alike: a request that failed cost as much as its tokens.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Sum

from billing.periods import month_at, months_in
from billing.rating import Rating, Used, rate
from billing.tariffs import tariff_of
from inference.models import CostShare
from metering.models import Bucket
from metering.usage import INPUT_UNITS, OUTPUT_UNITS, Unit
from money.amount import Money
from tenants.models import Tenant


@dataclass(frozen=True)
class Margin:
    """One tenant's use of one offering, in one currency.

    Counts are of billed usage, and stand in the row of the tenant's own currency. `unpriced` is what of them has no
    price, and so no revenue.
    """

    tenant: str
    offering: str
    requests: int
    input_tokens: int
    output_tokens: int
    unpriced: int
    revenue: Money
    cost: Money

    @property
    def margin(self) -> Money:
        return self.revenue - self.cost

    @property
    def currency(self) -> str:
        return self.revenue.currency


def margins(tenant_ids: Collection[int] | None, start: datetime | None, end: datetime | None) -> list[Margin]:
    """Margins of usage from `start` until before `end`, by tenant, offering and currency, sorted by these.

    None means all tenants, and no bound. Cost is kept by the hour, so bounds are best full hours: an hour's cost
    counts where the hour begins within them.
    """
    found = Tenant.objects.all() if tenant_ids is None else Tenant.objects.filter(pk__in=tenant_ids)
    return [margin for tenant in found.order_by("slug") for margin in _margins_of(tenant, start, end)]


def _margins_of(tenant: Tenant, start: datetime | None, end: datetime | None) -> Iterator[Margin]:
    """By difference: what a quantity earns depends on what was used before it in its month."""
    months_in_zone = months_in(tenant.time_zone)
    since = None if start is None else month_at(start, tenant.time_zone).start
    used_since = list(_used(tenant, since, end))
    before = [one for one in used_since if start is not None and one.start < start]
    tariff = tariff_of(tenant.pk)
    whole, part = rate(used_since, tariff, months_in_zone), rate(before, tariff, months_in_zone)
    used = used_since[len(before) :]
    revenue, cost = _difference(_revenue(whole), _revenue(part)), _cost(tenant, start, end)
    rows = {(one.offering, tenant.currency) for one in used} | revenue.keys() | cost.keys()
    for offering, currency in sorted(rows):
        is_own = currency == tenant.currency
        nothing = Money.zero(currency)
        yield Margin(
            tenant=tenant.slug,
            offering=offering,
            requests=_count(used, offering, (Unit.REQUEST,)) if is_own else 0,
            input_tokens=_count(used, offering, INPUT_UNITS) if is_own else 0,
            output_tokens=_count(used, offering, OUTPUT_UNITS) if is_own else 0,
            unpriced=_unpriced(whole, offering) - _unpriced(part, offering) if is_own else 0,
            revenue=revenue.get((offering, currency), nothing),
            cost=cost.get((offering, currency), nothing),
        )


def _unpriced(rating: Rating, offering: str) -> int:
    return sum(gap.quantity for gap in rating.unpriced if gap.offering == offering)


def _difference(
    whole: dict[tuple[str, str], Money], part: dict[tuple[str, str], Money]
) -> dict[tuple[str, str], Money]:
    """What the whole has beyond the part. What was used before only, and earned nothing since, is left out."""
    found = {key: amount - part[key] if key in part else amount for key, amount in whole.items()}
    return {key: amount for key, amount in found.items() if amount or key not in part}


def _count(used: list[Used], offering: str, units: Collection[str]) -> int:
    return sum(one.quantity for one in used if one.offering == offering and one.unit in units)


def _used(tenant: Tenant, start: datetime | None, end: datetime | None) -> Iterator[Used]:
    rows = Bucket.objects.filter(tenant_id=tenant.pk, billed=True, **_bounds("start", start, end))
    columns = ("start", "project_id", "offering", "unit", "grade", "service_tier")
    summed = rows.values_list(*columns).annotate(Sum("quantity")).order_by(*columns)
    for at, project_id, offering, unit, grade, tier, quantity in summed.iterator():
        yield Used(at, project_id, offering, unit, int(quantity), grade, tier)


def _revenue(rating: Rating) -> dict[tuple[str, str], Money]:
    found: dict[tuple[str, str], Money] = {}
    for line in rating.lines:
        key = (line.offering, line.amount.currency)
        found[key] = found[key] + line.amount if key in found else line.amount
    return found


def _cost(tenant: Tenant, start: datetime | None, end: datetime | None) -> dict[tuple[str, str], Money]:
    shares = CostShare.objects.filter(tenant_id=tenant.pk, **_bounds("pool_hour__hour_start", start, end))
    summed = shares.values_list("offering", "pool_hour__currency").annotate(Sum("cost")).order_by()
    return {(offering, currency): Money.of(total, currency) for offering, currency, total in summed}


def _bounds(field: str, start: datetime | None, end: datetime | None) -> dict[str, Any]:
    bounds = {f"{field}__gte": start, f"{field}__lt": end}
    return {name: at for name, at in bounds.items() if at is not None}
