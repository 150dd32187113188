"""Prices and usage of one model, and the moments that most tests look at."""

from datetime import UTC, datetime

from django.utils import timezone

from billing.models import PriceBook, PriceBookVersion, Rate
from metering.models import Bucket
from tenants.models import Project

LLAMA = "llama-3.3-70b"
PRICES = {"request": "0", "input_uncached": "0.60", "input_cached": "0.15", "output": "2.40", "reasoning": "2.40"}
OCTOBER_LAST = datetime(2026, 10, 31, 22, 45, tzinfo=UTC)  # The last quarter of an hour of October in Berlin.
NOVEMBER = datetime(2026, 11, 10, 9, 15, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def new_version(
    book: PriceBook, valid_from: datetime, prices: dict[str, str], offering: str = LLAMA
) -> PriceBookVersion:
    version = PriceBookVersion.objects.create(price_book=book, valid_from=valid_from)
    for unit, amount in prices.items():
        Rate.objects.create(version=version, offering=offering, unit=unit, amount=amount, per=1_000_000)
    return version


def add_usage(project: Project, at: datetime, unit: str, quantity: int, **fields: object) -> Bucket:
    """Fold so much usage into the bucket, as the worker does."""
    key = {"offering": LLAMA, "deployment": "llama-h100", "api_key_id": 1, "billed": True, **fields}
    bucket, fresh = Bucket.objects.get_or_create(
        tenant_id=project.tenant_id,
        project_id=project.pk,
        start=at,
        unit=unit,
        **key,
        defaults={"quantity": quantity, "updated_at": timezone.now()},
    )
    if not fresh:
        bucket.quantity += quantity
        bucket.save()
    return bucket
