"""Writes versions of price books that are not published yet: all of their rates, or nothing."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from billing.errors import RatesOverlap, VersionTwice
from billing.matching import overlapping
from billing.models import PriceBook, PriceBookVersion, Rate

OVERLAPS_NAMED_MAX = 5


@transaction.atomic
def draft(book: PriceBook, valid_from: datetime, rates: Sequence[Mapping[str, Any]]) -> PriceBookVersion:
    """A new version that prices usage from an instant on, as soon as it is published."""
    version = PriceBookVersion(price_book=book, valid_from=valid_from)
    _save(version)
    _fill(version, rates)
    return version


@transaction.atomic
def redraft(version: PriceBookVersion, valid_from: datetime, rates: Sequence[Mapping[str, Any]]) -> PriceBookVersion:
    """Begin a version at another instant, and give it these rates and no others. Raises `PricesArePublished`."""
    locked = PriceBookVersion.objects.select_for_update(of=["self"]).select_related("price_book").get(pk=version.pk)
    locked.valid_from = valid_from
    _save(locked)
    locked.rates.all().delete()
    _fill(locked, rates)
    return locked


def _save(version: PriceBookVersion) -> None:
    others = PriceBookVersion.objects.filter(price_book=version.price_book, valid_from=version.valid_from)
    if others.exclude(pk=version.pk).exists():
        raise VersionTwice(
            f"{version.price_book.slug} has a version from {version.valid_from:%Y-%m-%d %H:%M} UTC already. "
            "Change that one, or begin at another time."
        )
    version.save()


def _fill(version: PriceBookVersion, rates: Sequence[Mapping[str, Any]]) -> None:
    rows = [Rate(version=version, **fields) for fields in rates]
    pairs = overlapping([row.match for row in rows])
    if pairs:
        named = "; ".join(f"{one}, and {other}" for one, other in pairs[:OVERLAPS_NAMED_MAX])
        raise RatesOverlap(f"Rates that meet the same usage: {named}. Narrow one of each to another grade or tier.")
    for row in rows:
        row.price()
    Rate.objects.bulk_create(rows, batch_size=500)
