"""Reads a tenant's plans and the published prices they name, as `rating` reckons with them."""

from datetime import datetime

from billing.models import Plan, PriceBookVersion
from billing.rating import Prices, Tariff, Timeline


def tariff_of(tenant_id: int) -> Tariff:
    """All plans of a tenant and all published versions of their books."""
    plans = list(
        Plan.objects.filter(tenant_id=tenant_id).order_by("starts_at").values_list("starts_at", "price_book_id")
    )
    books = {book for _, book in plans}
    versions: dict[int, list[tuple[datetime, Prices]]] = {book: [] for book in books}
    published = PriceBookVersion.objects.filter(price_book__in=books, published_at__isnull=False)
    for version in published.order_by("valid_from").prefetch_related("rates").select_related("price_book"):
        versions[version.price_book_id].append((version.valid_from, _prices(version)))
    return Tariff(Timeline(plans), {book: Timeline(entries) for book, entries in versions.items()})


def _prices(version: PriceBookVersion) -> Prices:
    return {rate.match: rate.price() for rate in version.rates.all()}
