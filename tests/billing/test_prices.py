"""Prices are complete and exact before they are published, and never change after."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from billing import closing, publishing
from billing.errors import (
    CurrencyIsNotTheTenants,
    IncompletePrices,
    InexactRate,
    PastIsInvoiced,
    PricesArePublished,
    RatesOverlap,
)
from billing.models import Plan, PriceBook, PriceBookVersion, Rate, Seller
from billing.price_kinds import Flat, Graduated, Package, Tiers, UnitPrice, Volume
from billing.snapshot import PRICED_OFFERINGS_SQL
from billing.tariffs import tariff_of
from money.amount import Money
from tests.billing.samples import DECEMBER, LLAMA, NOVEMBER, PRICES, YEAR, add_usage, new_version
from tests.conftest import Person

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("unit", ["input_uncached", "input_cached", "output", "reasoning"])
def test_a_version_without_a_price_for_what_a_chat_can_contain_is_not_published(book: PriceBook, unit: str) -> None:
    version = new_version(book, YEAR, {name: amount for name, amount in PRICES.items() if name != unit})
    with pytest.raises(IncompletePrices, match=f"{LLAMA} lacks {unit}"):
        publishing.publish(version)
    version.refresh_from_db()
    assert version.published_at is None


def test_a_version_without_rates_is_not_published(book: PriceBook) -> None:
    with pytest.raises(IncompletePrices, match="no rates"):
        publishing.publish(new_version(book, YEAR, {}))


def test_publishing_twice_is_publishing_once(book: PriceBook) -> None:
    version = new_version(book, YEAR, PRICES)
    assert publishing.publish(version).published_at == publishing.publish(version).published_at


def test_a_published_version_refuses_every_way_to_change_it(book: PriceBook) -> None:
    version = publishing.publish(new_version(book, YEAR, PRICES))
    rate = version.rates.get(unit="output")
    rate.amount += 1
    for deed in (rate.save, rate.delete, version.save, version.delete):
        with pytest.raises(PricesArePublished):
            deed()
    with pytest.raises(PricesArePublished):
        Rate.objects.create(version=version, offering="new", unit="output", amount=1, per=1)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE billing_pricebookversion SET valid_from = valid_from + interval '1 day'",
        "UPDATE billing_pricebookversion SET published_at = NULL",
        "UPDATE billing_rate SET amount = 0",
        "UPDATE billing_rate SET version_id = (SELECT id FROM billing_pricebookversion WHERE published_at IS NULL)",
        "DELETE FROM billing_rate",
        "DELETE FROM billing_pricebookversion WHERE published_at IS NOT NULL",
        "INSERT INTO billing_rate (version_id, offering, unit, amount, per) "
        "SELECT id, 'new', 'output', 1, 1 FROM billing_pricebookversion WHERE published_at IS NOT NULL",
        "UPDATE billing_plan SET starts_at = starts_at + interval '1 day'",
        "DELETE FROM billing_plan",
    ],
)
def test_postgres_refuses_to_change_what_was_agreed(priced: Person, book: PriceBook, sql: str) -> None:
    new_version(book, YEAR + timedelta(days=400), {})
    with pytest.raises(IntegrityError, match=r"never changes?"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


def test_a_draft_version_can_be_changed_and_deleted(book: PriceBook) -> None:
    version = new_version(book, YEAR, PRICES)
    version.rates.filter(unit="output").update(amount=3)
    version.rates.get(unit="reasoning").delete()
    version.delete()
    assert not Rate.objects.exists()


def test_a_rate_that_is_not_exact_is_refused_beside_its_field_and_in_sql(book: PriceBook) -> None:
    version = new_version(book, YEAR, {})
    rate = Rate(version=version, offering=LLAMA, unit="output", amount="0.0000001", per=1_000_000)
    with pytest.raises(InexactRate, match="Give at most 6 decimals"):
        rate.save()
    with pytest.raises(ValidationError) as refusal:
        rate.full_clean()
    assert list(refusal.value.message_dict) == ["amount"]
    with pytest.raises(IntegrityError, match="rate_exact"), transaction.atomic():
        Rate.objects.bulk_create([rate])


@pytest.mark.parametrize("fields", [{"amount": -1}, {"per": 7}, {"unit": "word"}, {"offering": " "}])
def test_a_rate_that_makes_no_sense_is_refused_beside_its_field(book: PriceBook, fields: dict[str, object]) -> None:
    good = {"version": new_version(book, YEAR, {}), "offering": LLAMA, "unit": "output", "amount": 1, "per": 1}
    Rate(**good).full_clean()
    with pytest.raises(ValidationError) as refusal:
        Rate(**{**good, **fields}).full_clean()
    assert set(fields) <= set(refusal.value.message_dict)


ONE = Decimal(1)
OVERLAPS = [
    ("any", "standard", "any", "standard"),
    ("any", "standard", "grounded", "standard"),
    ("", "any", "", "batch"),
    ("any", "any", "grounded", "flex"),
    ("grounded", "any", "any", "batch"),
]


@pytest.mark.parametrize(("grade", "tier", "other_grade", "other_tier"), OVERLAPS)
def test_two_rates_for_the_same_usage_are_refused_and_in_sql_too(
    book: PriceBook, grade: str, tier: str, other_grade: str, other_tier: str
) -> None:
    common = {"version": new_version(book, YEAR, {}), "offering": LLAMA, "unit": "output", "amount": 1, "per": 1}
    Rate.objects.create(**common, grade=grade, service_tier=tier)
    other = Rate(**common, grade=other_grade, service_tier=other_tier)
    with pytest.raises(RatesOverlap, match="Narrow one of them"):
        other.save()
    with pytest.raises(IntegrityError, match="rate_overlaps_no_other"), transaction.atomic():
        Rate.objects.bulk_create([other])


def test_rates_that_no_usage_meets_twice_stand_beside_each_other(book: PriceBook) -> None:
    common = {"version": new_version(book, YEAR, {}), "offering": LLAMA, "amount": 1, "per": 1}
    for unit, grade, tier in (
        ("output", "", "standard"), ("output", "grounded", "standard"), ("output", "any", "batch"),
        ("output", "", "flex"), ("request", "any", "any"),
    ):  # fmt: skip
        Rate.objects.create(**common, unit=unit, grade=grade, service_tier=tier)
    assert Rate.objects.count() == 5


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"kind": "graduated"}, "rate_tiers"),
        ({"kind": "volume", "above": [5, 5], "amounts_above": [ONE, ONE]}, "rate_tiers"),
        ({"kind": "volume", "above": [5], "amounts_above": [ONE, ONE]}, "rate_tiers"),
        ({"above": [5], "amounts_above": [ONE]}, "rate_tiers"),
        ({"kind": "graduated", "above": [5], "amounts_above": [-ONE]}, "rate_exact"),
        ({"kind": "graduated", "above": [5], "amounts_above": [ONE / 10**7], "per": 1_000_000}, "rate_exact"),
        ({"kind": "flat", "per": 1_000}, "rate_per_known"),
        ({"kind": "package", "per": 0}, "rate_per_known"),
        ({"per": 7}, "rate_"),
        ({"kind": "gift"}, "rate_"),
        ({"service_tier": "gold"}, "rate_service_tier_known"),
    ],
)
def test_postgres_refuses_rates_that_price_nothing(book: PriceBook, fields: dict[str, object], constraint: str) -> None:
    good = {"offering": LLAMA, "unit": "output", "amount": 1, "per": 1}
    rate = Rate(version=new_version(book, YEAR, {}), **{**good, **fields})
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Rate.objects.bulk_create([rate])
    with pytest.raises(ValidationError):
        rate.full_clean()


def test_a_tenants_tariff_has_rates_of_every_kind_as_they_were_entered(alice: Person, book: PriceBook) -> None:
    version = new_version(book, YEAR, PRICES)
    tiers = {"above": [10, 20], "amounts_above": ["0.02", "0.01"]}
    for unit, fields in {
        "image": {"kind": "package", "amount": 5, "per": 70},
        "second": {"kind": "flat", "amount": 50},
        "character": {"kind": "volume", "amount": "0.03", **tiers},
        "audio_input": {"kind": "graduated", "amount": "0.03", **tiers, "grade": "", "service_tier": "any"},
    }.items():
        Rate.objects.create(version=version, offering=LLAMA, unit=unit, **{"per": 1, **fields})
    publishing.publish(version)
    publishing.agree(alice.tenant, book, YEAR)
    usd = partial(Money.of, currency="USD")
    found = Tiers.of([UnitPrice(usd(amount), 1) for amount in ("0.03", "0.02", "0.01")], [10, 20])
    tariff = tariff_of(alice.tenant.pk)
    assert [tariff.price(YEAR, LLAMA, unit) for unit in ("image", "second", "character", "audio_input")] == [
        Package(usd(5), 70), Flat(usd(50)), Volume(found), Graduated(found),
    ]  # fmt: skip
    assert tariff.price(YEAR, LLAMA, "audio_input", "grounded") is None
    assert tariff.price(YEAR, LLAMA, "audio_input", "", "flex") == Graduated(found)


def test_prices_begin_at_a_quarter_of_an_hour(alice: Person, book: PriceBook) -> None:
    crooked = YEAR + timedelta(minutes=1)
    for row in (
        PriceBookVersion(price_book=book, valid_from=crooked),
        Plan(tenant=alice.tenant, price_book=book, starts_at=crooked),
    ):
        with pytest.raises(ValidationError, match="quarter of an hour"):
            row.full_clean()
        with pytest.raises(IntegrityError, match="quarter_hour"), transaction.atomic():
            row.save()


def test_a_price_book_wants_a_currency_that_exists() -> None:
    with pytest.raises(ValidationError, match="ISO 4217"):
        PriceBook(slug="x", name="X", currency="ZZZ").full_clean()


def test_a_plan_in_another_currency_than_the_tenants_is_refused(alice: Person) -> None:
    euros = PriceBook.objects.create(slug="euros", name="Euros", currency="EUR")
    with pytest.raises(CurrencyIsNotTheTenants, match="acme pays in USD, and euros is in EUR"):
        publishing.agree(alice.tenant, euros, YEAR)
    with pytest.raises(ValidationError):
        Plan(tenant=alice.tenant, price_book=euros, starts_at=YEAR).full_clean()


@pytest.mark.django_db(transaction=True)
def test_prices_do_not_begin_in_a_past_that_is_invoiced(priced: Person, book: PriceBook) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    invoice = closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)
    late = new_version(book, invoice.period.end - timedelta(minutes=15), PRICES)
    with pytest.raises(PastIsInvoiced, match="up to 2026-11-30 23:00 UTC"):
        publishing.publish(late)
    with pytest.raises(PastIsInvoiced):
        publishing.agree(priced.tenant, book, invoice.period.end - timedelta(minutes=15))
    publishing.publish(new_version(book, invoice.period.end, PRICES))
    publishing.agree(priced.tenant, book, invoice.period.end)


def test_there_is_one_seller(seller: Seller) -> None:
    seller.pk = None
    with pytest.raises(IntegrityError, match="seller_only_one"), transaction.atomic():
        seller.save()
    with pytest.raises(ValidationError, match="one seller already"):
        seller.full_clean()


def priced_offerings() -> set[tuple[int, str]]:
    with connection.cursor() as cursor:
        cursor.execute(PRICED_OFFERINGS_SQL)
        return set(cursor.fetchall())


def test_a_gateway_serves_what_the_plan_in_force_prices_now(alice: Person, mallory: Person, book: PriceBook) -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    old = new_version(book, hour - timedelta(days=9), PRICES, "old")
    current = new_version(book, hour - timedelta(days=2), PRICES, "current")
    new_version(book, hour - timedelta(days=1), PRICES, "draft")
    publishing.publish(new_version(book, hour + timedelta(days=1), PRICES, "future"))
    publishing.agree(alice.tenant, book, hour - timedelta(days=30))
    assert priced_offerings() == set()
    publishing.publish(old)
    assert priced_offerings() == {(alice.tenant.pk, "old")}
    publishing.publish(current)
    assert priced_offerings() == {(alice.tenant.pk, "current")}
    publishing.agree(mallory.tenant, book, hour + timedelta(days=1))
    empty = PriceBook.objects.create(slug="empty", name="Empty", currency="USD")
    publishing.agree(alice.tenant, empty, hour - timedelta(hours=1))
    assert priced_offerings() == set()


@pytest.mark.django_db(transaction=True)
def test_gateways_are_told_of_every_change_of_prices(alice: Person, book: PriceBook) -> None:
    with connection.cursor() as cursor:
        cursor.execute("LISTEN tokenworks_snapshot")
    publishing.publish(new_version(book, datetime(2026, 1, 1, tzinfo=UTC), PRICES))
    publishing.agree(alice.tenant, book, datetime(2026, 1, 1, tzinfo=UTC))
    assert connection.connection is not None
    told = list(connection.connection.notifies(timeout=0.5))
    with connection.cursor() as cursor:
        cursor.execute("UNLISTEN tokenworks_snapshot")
    assert len(told) >= 8  # A version, five rates, the publication and the plan, each committed by itself.
