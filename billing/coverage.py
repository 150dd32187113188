"""Which rates of a version meet real usage, and what of it would stay without a price. Reads; writes nothing."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import OuterRef, Subquery, Sum

from billing.matching import Match, met, qualified
from billing.models import Plan, PriceBook, PriceBookVersion, Rate
from billing.rating import UNITS_FREE_UNLESS_PRICED
from metering.models import Bucket
from tenants.models import Tenant


@dataclass(frozen=True)
class Met:
    """So much of one thing, and the rate that it meets; None where it meets none."""

    offering: str
    unit: str
    grade: str
    service_tier: str
    quantity: int
    rate: Rate | None

    @property
    def is_unrated(self) -> bool:
        """Whether it would block an invoice."""
        return self.rate is None and self.unit not in UNITS_FREE_UNLESS_PRICED

    @property
    def counted(self) -> str:
        return f"{self.quantity:,}"

    @property
    def what(self) -> str:
        return qualified(self.offering, self.grade, self.service_tier)


@dataclass(frozen=True)
class Coverage:
    """What a version would do with the usage from `start` until before `end`: what stays unrated comes first."""

    start: datetime
    end: datetime
    tenants: int
    is_agreed: bool  # Whether these are tenants of the book; otherwise all that pay in its currency.
    met: list[Met]

    @property
    def unrated(self) -> list[Met]:
        return [found for found in self.met if found.is_unrated]


def rate_for(version: PriceBookVersion, usage: Match) -> Rate | None:
    """The rate of a version that usage meets."""
    found = met(_rates(version), *usage)
    return None if found is None else found[1]


def last_months(version: PriceBookVersion, now: datetime) -> Coverage:
    """Last month's billed usage, by UTC, of the tenants whose plan names the book; of all of its currency, if none."""
    end = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    start = datetime(end.year - (end.month == 1), (end.month - 2) % 12 + 1, 1, tzinfo=UTC)
    agreed = tenants_of(version.price_book, now)
    tenants = agreed or list(Tenant.objects.filter(currency=version.price_book.currency).values_list("id", flat=True))
    found = sorted(_met(version, tenants, start, end), key=lambda one: not one.is_unrated)
    return Coverage(start, end, len(tenants), bool(agreed), found)


def tenants_of(book: PriceBook, now: datetime) -> list[int]:
    """The tenants whose plan in force names a book."""
    begun = Plan.objects.filter(tenant=OuterRef("pk"), starts_at__lte=now).order_by("-starts_at")
    in_force = Tenant.objects.annotate(book=Subquery(begun.values("price_book")[:1]))
    return list(in_force.filter(book=book.pk).values_list("id", flat=True))


def _met(version: PriceBookVersion, tenants: Collection[int], start: datetime, end: datetime) -> list[Met]:
    rates = _rates(version)
    billed = Bucket.objects.filter(tenant_id__in=tenants, billed=True, start__gte=start, start__lt=end)
    columns = ("offering", "unit", "grade", "service_tier")
    rows = billed.values_list(*columns).annotate(Sum("quantity")).order_by("offering", "grade", "service_tier", "unit")
    found = []
    for offering, unit, grade, tier, quantity in rows:
        rate = met(rates, offering, unit, grade, tier)
        found.append(Met(offering, unit, grade, tier, int(quantity), rate[1] if rate else None))
    return found


def _rates(version: PriceBookVersion) -> dict[Match, Rate]:
    return {rate.match: rate for rate in version.rates.select_related("version__price_book")}
