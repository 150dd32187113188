"""Before a version is published, its page says which rates usage meets, and what would block invoices."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing import coverage, publishing
from billing.matching import Match
from billing.models import PriceBook, PriceBookVersion, Rate
from tests.billing.samples import DECEMBER, LLAMA, NOVEMBER, PRICES, YEAR, add_usage, new_version
from tests.conftest import Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(book: PriceBook) -> PriceBookVersion:
    """One that prices batches of graded answers besides, in two tiers."""
    version = new_version(book, YEAR, PRICES)
    tiers = {"kind": "graduated", "per": 1_000_000, "above": [1_000_000], "amounts_above": ["1"]}
    Rate.objects.create(
        version=version, offering=LLAMA, unit="output", grade="grounded", service_tier="batch", amount="2", **tiers
    )
    return version


def test_usage_meets_the_rate_for_it_or_none(version: PriceBookVersion) -> None:
    assert coverage.rate_for(version, Match(LLAMA, "output", "grounded", "batch")) == version.rates.get(
        grade="grounded"
    )
    assert coverage.rate_for(version, Match(LLAMA, "output", "", "standard")) == version.rates.get(
        unit="output", grade="any"
    )
    assert coverage.rate_for(version, Match(LLAMA, "output", "", "batch")) is None


def test_last_months_usage_of_the_books_tenants_is_looked_at(
    alice: Person, mallory: Person, version: PriceBookVersion
) -> None:
    publishing.agree(alice.tenant, version.price_book, YEAR)
    add_usage(alice.project, NOVEMBER, "output", 10)
    add_usage(alice.project, NOVEMBER, "request", 1, offering="elsewhere")
    add_usage(alice.project, NOVEMBER, "output", 20, service_tier="batch", grade="grounded")
    add_usage(alice.project, NOVEMBER, "output", 30, service_tier="batch", grade="")
    add_usage(alice.project, NOVEMBER, "output", 40, service_tier="flex", billed=False)
    add_usage(alice.project, DECEMBER, "output", 50, service_tier="flex")
    add_usage(mallory.project, NOVEMBER, "output", 60, offering="unheard-of")
    found = coverage.last_months(version, DECEMBER)
    assert (found.start, found.end) == (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    assert (found.tenants, found.is_agreed) == (1, True)
    assert [(one.what, one.quantity) for one in found.unrated] == [(f"{LLAMA} (batch)", 30)]
    assert [(one.what, one.unit, one.rate is not None) for one in found.met] == [
        (f"{LLAMA} (batch)", "output", False),
        ("elsewhere", "request", False),
        (LLAMA, "output", True),
        (f"{LLAMA} (grounded, batch)", "output", True),
    ]


def test_a_book_that_nobody_has_is_tried_on_all_who_pay_in_its_currency(
    alice: Person, mallory: Person, version: PriceBookVersion
) -> None:
    add_usage(alice.project, NOVEMBER, "output", 10)
    add_usage(mallory.project, NOVEMBER, "output", 60, offering="unheard-of")
    found = coverage.last_months(version, DECEMBER)
    assert (found.tenants, found.is_agreed) == (2, False)
    assert [one.offering for one in found.unrated] == ["unheard-of"]


def test_a_tenant_that_turned_to_another_book_is_none_of_this_one(alice: Person, version: PriceBookVersion) -> None:
    other = PriceBook.objects.create(slug="other", name="Other", currency="USD")
    publishing.agree(alice.tenant, version.price_book, YEAR)
    assert coverage.tenants_of(version.price_book, DECEMBER) == [alice.tenant.pk]
    publishing.agree(alice.tenant, other, YEAR + timedelta(days=1))
    assert coverage.tenants_of(version.price_book, DECEMBER) == []


def page(version: PriceBookVersion) -> str:
    return reverse("admin:billing_pricebookversion_meet_rates", args=[version.pk])


def test_the_page_says_what_a_sample_costs_and_what_would_block_invoices(
    office: Client, alice: Person, version: PriceBookVersion
) -> None:
    publishing.agree(alice.tenant, version.price_book, YEAR)
    last_month = timezone.now().astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    add_usage(alice.project, last_month - timedelta(days=3), "output", 1234, service_tier="flex")
    assert page(version) in office.get(reverse("admin:billing_pricebookversion_change", args=[version.pk])).text
    sample = {"offering": LLAMA, "unit": "output", "grade": "grounded", "service_tier": "batch", "before": "0"}
    shown = office.get(page(version), {**sample, "quantity": "1500000"}).text
    assert "2.5 USD" in shown
    assert "500,000 at 1 USD per 1,000,000: 0.5 USD" in shown
    assert "1 of 1 would stay unrated" in shown
    assert f"{LLAMA} (flex)" in shown
    assert "1,234" in shown
    assert "Meets no rate" in office.get(page(version), {**sample, "grade": "", "quantity": "1"}).text
    assert "Enter a whole number" in office.get(page(version), {**sample, "quantity": "x"}).text


def test_the_page_is_for_whoever_may_see_prices(client: Client, version: PriceBookVersion) -> None:
    clerk = User.objects.create_user("carl", password="correct horse battery", is_staff=True)
    client.force_login(clerk)
    assert client.get(page(version)).status_code == 403
    clerk.user_permissions.add(Permission.objects.get(codename="view_pricebookversion"))
    assert client.get(page(version)).status_code == 200


def entered(*rates: dict[str, str]) -> dict[str, str]:
    form = {"valid_from_0": "2026-01-01", "valid_from_1": "00:00:00", "rates-INITIAL_FORMS": "0"}
    form["rates-TOTAL_FORMS"] = str(len(rates))
    for number, fields in enumerate(rates):
        given = {"offering": LLAMA, "unit": "output", "amount": "1", "per": "1000", **fields}
        form |= {f"rates-{number}-{name}": value for name, value in given.items()}
    return form


def test_rates_with_tiers_are_entered_on_the_page_of_their_version(office: Client, book: PriceBook) -> None:
    tiers = {
        "kind": "volume",
        "grade": "grounded",
        "service_tier": "batch",
        "above": "10,20",
        "amounts_above": "0.5,0.25",
    }
    target = reverse("admin:billing_pricebookversion_add")
    assert office.post(target, {"price_book": str(book.pk), **entered(tiers)}).status_code == 302
    rate = Rate.objects.get()
    assert (rate.wording, rate.above) == (
        "volume, grounded, batch: 1 per 1,000, above 10: 0.5, above 20: 0.25",
        [10, 20],
    )


def test_rates_entered_at_once_for_the_same_usage_are_refused_on_the_page(office: Client, book: PriceBook) -> None:
    target = reverse("admin:billing_pricebookversion_add")
    form = entered({"grade": "any"}, {"grade": "grounded"})
    shown = office.post(target, {"price_book": str(book.pk), **form})
    assert "Two rates meet the same usage" in shown.text
    assert not PriceBookVersion.objects.exists()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": "volume", "above": "20,10", "amounts_above": "1,1"}, "do not ascend"),
        ({"kind": "graduated"}, "0 steps"),
        ({"per": "7"}, "Give it per 1, 1,000 or 1,000,000"),
        ({"kind": "flat"}, "Give it per 1."),
    ],
)
def test_a_rate_that_is_no_price_is_refused_beside_its_field(
    office: Client, book: PriceBook, fields: dict[str, str], reason: str
) -> None:
    target = reverse("admin:billing_pricebookversion_add")
    assert reason in office.post(target, {"price_book": str(book.pk), **entered(fields)}).text
    assert not Rate.objects.exists()


def test_amounts_stand_in_the_form_without_zeros_that_nobody_entered(office: Client, version: PriceBookVersion) -> None:
    shown = office.get(reverse("admin:billing_pricebookversion_change", args=[version.pk])).text
    assert 'value="0.6"' in shown
    assert 'value="0"' in shown
    assert "0E-12" not in shown


def test_a_rate_entered_beside_one_for_the_same_usage_is_refused_on_the_page(office: Client, book: PriceBook) -> None:
    version = new_version(book, YEAR, {"output": "1"})
    rate = version.rates.get()
    form = entered({"id": str(rate.pk), "per": "1000000"}, {"grade": "grounded"})
    form["rates-INITIAL_FORMS"] = "1"
    target = reverse("admin:billing_pricebookversion_change", args=[version.pk])
    assert "Two rates meet the same usage" in office.post(target, form).text
    form["rates-0-service_tier"] = "batch"
    assert office.post(target, form).status_code == 302
    assert {rate.match.qualities for rate in version.rates.all()} == {"any grade, batch", "grounded, standard"}


def test_rates_that_take_each_others_place_at_once_are_refused_on_the_page(office: Client, book: PriceBook) -> None:
    version = new_version(book, YEAR, {"output": "1"})
    plain = version.rates.get()
    batch = Rate.objects.create(
        version=version, offering=LLAMA, unit="output", service_tier="batch", amount="0.5", per=1000
    )
    form = entered({"id": str(plain.pk), "service_tier": "batch"}, {"id": str(batch.pk), "service_tier": "standard"})
    form |= {"rates-INITIAL_FORMS": "2"}
    answer = office.post(reverse("admin:billing_pricebookversion_change", args=[version.pk]), form)
    assert answer.status_code == 200
    assert "takes the place of another rate" in answer.text
    assert set(version.rates.values_list("pk", "service_tier")) == {(plain.pk, "standard"), (batch.pk, "batch")}
