"""Prices for the cast: Acme pays for one model."""

import pytest

from billing import publishing
from billing.models import PriceBook, Seller
from tests.billing.samples import PRICES, YEAR, new_version
from tests.conftest import Person


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
