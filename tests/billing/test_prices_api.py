"""Staff draft, replace and publish versions of price books by the API."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from billing import publishing
from billing.models import PriceBook, PriceBookVersion, Rate
from tests.billing.samples import LLAMA, PRICES, YEAR, new_version
from tests.conftest import Person, calling

pytestmark = [pytest.mark.django_db, pytest.mark.urls("billing.urls")]

RATES: list[dict[str, Any]] = [
    {"offering": LLAMA, "unit": unit, "amount": amount, "per": 1_000_000} for unit, amount in PRICES.items()
]
BATCH = {"offering": LLAMA, "service_tier": "batch", "per": 1_000_000}
OF_BATCHES: list[dict[str, Any]] = [
    {**BATCH, "unit": "input_uncached", "amount": "0.30"},
    {**BATCH, "unit": "input_cached", "amount": "0.05"},
    {**BATCH, "unit": "output", "kind": "graduated", "amount": "1.20", "above": [10**9], "amounts_above": ["1.00"]},
    {**BATCH, "unit": "reasoning", "kind": "volume", "amount": 1, "above": [5, 9], "amounts_above": ["0.9", "0.80"]},
    {**BATCH, "unit": "image", "kind": "package", "amount": "5", "per": 70, "grade": ""},
    {**BATCH, "unit": "second", "kind": "flat", "amount": "50", "per": 1, "service_tier": "any"},
]
VERSIONS = "/price-books/standard/versions/"
BEGINS = "2026-01-01T00:00:00Z"


@pytest.fixture
def staff(staff: APIClient) -> APIClient:
    staff.default_format = "json"
    return staff


def given(*rates: dict[str, Any], valid_from: str = BEGINS) -> dict[str, Any]:
    return {"valid_from": valid_from, "rates": list(rates)}


def test_staff_make_a_book_draft_a_version_and_publish_it(staff: APIClient, db: None) -> None:
    book = {"slug": "standard", "name": "Standard", "currency": "EUR"}
    assert staff.post("/price-books/", book).status_code == 201
    drafted = staff.post(VERSIONS, given(*RATES, *OF_BATCHES))
    assert drafted.status_code == 201
    version = PriceBookVersion.objects.get()
    assert (drafted.json()["id"], drafted.json()["published_at"]) == (version.pk, None)
    shown = {
        (rate["unit"], rate["service_tier"]): rate for rate in staff.get(f"{VERSIONS}{version.pk}/").json()["rates"]
    }
    assert shown["output", "batch"] == {
        "offering": LLAMA, "unit": "output", "grade": "any", "service_tier": "batch", "kind": "graduated",
        "amount": "1.2", "per": 1_000_000, "above": [10**9], "amounts_above": ["1"],
    }  # fmt: skip
    assert shown["image", "batch"]["grade"] == ""
    assert shown["reasoning", "batch"]["amounts_above"] == ["0.9", "0.8"]
    published = staff.post(f"{VERSIONS}{version.pk}/publish/")
    assert published.json()["published_at"] is not None
    assert staff.post(f"{VERSIONS}{version.pk}/publish/").json() == published.json()


def test_a_draft_is_replaced_whole_and_thrown_away(staff: APIClient, book: PriceBook) -> None:
    version = new_version(book, YEAR, PRICES)
    replaced = staff.put(f"{VERSIONS}{version.pk}/", given(OF_BATCHES[0], valid_from="2026-02-01T00:00:00Z"))
    assert (replaced.status_code, replaced.json()["valid_from"]) == (200, "2026-02-01T00:00:00Z")
    assert [rate.service_tier for rate in Rate.objects.all()] == ["batch"]
    assert staff.delete(f"{VERSIONS}{version.pk}/").status_code == 204
    assert not PriceBookVersion.objects.exists()


def test_what_is_published_is_neither_replaced_nor_thrown_away(staff: APIClient, book: PriceBook) -> None:
    version = publishing.publish(new_version(book, YEAR, PRICES))
    for answer in (staff.put(f"{VERSIONS}{version.pk}/", given(*RATES)), staff.delete(f"{VERSIONS}{version.pk}/")):
        assert (answer.status_code, list(answer.json())) == (409, ["version"])
    assert Rate.objects.count() == len(PRICES)


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"amount": 0.6}, "amount", "as text"),
        ({"amount": "0.0000001"}, "amount", "Give at most 6 decimals"),
        ({"amount": "-1"}, "amount", "greater than or equal to 0"),
        ({"unit": "word"}, "unit", "not a valid choice"),
        ({"service_tier": "gold"}, "service_tier", "not a valid choice"),
        ({"kind": "graduated"}, "above", "0 steps"),
        ({"kind": "volume", "above": [9, 5], "amounts_above": ["1", "1"]}, "above", "do not ascend"),
        ({"above": [9], "amounts_above": ["1"]}, "above", "has no tiers"),
        ({"per": 7}, "per", "1, 1,000 or 1,000,000"),
        ({"offering": ""}, "offering", "blank"),
    ],
)
def test_a_rate_that_is_no_price_is_refused_by_its_field_and_nothing_is_kept(
    staff: APIClient, book: PriceBook, changes: dict[str, Any], field: str, reason: str
) -> None:
    answer = staff.post(VERSIONS, given(RATES[0], {**RATES[1], **changes}))
    assert answer.status_code == 400
    refused = answer.json()["rates"]["1"]
    assert list(refused) == [field]
    assert reason in str(refused[field])
    assert not PriceBookVersion.objects.exists()


def test_rates_for_the_same_usage_and_a_second_version_at_an_instant_are_conflicts(
    staff: APIClient, book: PriceBook
) -> None:
    overlap = staff.post(VERSIONS, given(RATES[0], {**RATES[0], "grade": "grounded"}))
    assert (overlap.status_code, list(overlap.json())) == (409, ["rates"])
    assert not PriceBookVersion.objects.exists()
    new_version(book, YEAR, {})
    twice = staff.post(VERSIONS, given(*RATES))
    assert (twice.status_code, list(twice.json())) == (409, ["valid_from"])
    crooked = staff.post(VERSIONS, given(*RATES, valid_from="2026-01-01T00:07:00Z"))
    assert (crooked.status_code, list(crooked.json())) == (400, ["valid_from"])


def test_a_version_that_is_not_whole_is_not_published(staff: APIClient, book: PriceBook) -> None:
    version = new_version(book, YEAR, {"output": "1"})
    answer = staff.post(f"{VERSIONS}{version.pk}/publish/")
    assert answer.status_code == 409
    assert f"{LLAMA} lacks input_uncached" in answer.json()["rates"][0]


def test_a_version_is_found_in_its_own_book_only(staff: APIClient, book: PriceBook) -> None:
    other = PriceBook.objects.create(slug="other", name="Other", currency="USD")
    version = new_version(other, YEAR, PRICES)
    assert staff.get(f"{VERSIONS}{version.pk}/").status_code == 404
    assert staff.post(f"{VERSIONS}{version.pk}/publish/").status_code == 404


def test_tenants_see_and_write_no_prices(priced: Person) -> None:
    client = calling(priced)
    version = PriceBookVersion.objects.get()
    for answer in (
        client.post("/price-books/", {"slug": "x", "name": "X", "currency": "USD"}),
        client.post(VERSIONS, given(*RATES)),
        client.get(f"{VERSIONS}{version.pk}/"),
        client.delete(f"{VERSIONS}{version.pk}/"),
        client.post(f"{VERSIONS}{version.pk}/publish/"),
    ):
        assert answer.status_code == 403
