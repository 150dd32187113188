"""Prices, plans and usage for the cast: Acme pays for one model."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.utils import timezone

from billing import publishing
from billing.models import PriceBook, PriceBookVersion, Rate, Seller
from metering.models import Bucket
from tenants.models import Project
from tests.conftest import Person

LLAMA = "llama-3.3-70b"
PRICES = {"request": "0", "input_uncached": "0.60", "input_cached": "0.15", "output": "2.40", "reasoning": "2.40"}
OCTOBER_LAST = datetime(2026, 10, 31, 22, 45, tzinfo=UTC)  # The last quarter of an hour of October in Berlin.
NOVEMBER = datetime(2026, 11, 10, 9, 15, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
YEAR = datetime(2026, 1, 1, tzinfo=UTC)

AddUsage = Callable[..., Bucket]


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


@pytest.fixture
def seller(db: None) -> Seller:
    return Seller.objects.create(
        legal_name="Tokenfabrik Betriebsgesellschaft mbH",
        address_lines="Große Bleichen 12\n20354 Hamburg",
        country="DE",
        tax_number="DE811907980",
        bank_details="Hamburger Sparkasse\nIBAN: DE89 3704 0044 0532 0130 00\nBIC: COBADEFFXXX",
        email="invoices@tokenfabrik.example",
        payment_terms_days=14,
        invoice_prefix="TW",
    )


@pytest.fixture
def book(db: None) -> PriceBook:
    return PriceBook.objects.create(slug="standard", name="Standard", currency="USD")


@pytest.fixture
def priced(alice: Person, seller: Seller, book: PriceBook) -> Person:
    """Alice, whose tenant has agreed to published prices since January."""
    publishing.publish(new_version(book, YEAR, PRICES))
    publishing.agree(alice.tenant, book, YEAR)
    return alice
