"""Revenue minus cost, by tenant and model."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from billing import publishing
from billing.margin import Margin, margins
from inference.models import CostShare, Hardware, Pool, PoolHour
from money.amount import Money
from providers.models import Upstream
from tests.billing.samples import DECEMBER, LLAMA, NOVEMBER, add_usage, new_version
from tests.conftest import Person

pytestmark = pytest.mark.django_db

HOUR = NOVEMBER.replace(minute=0)


@pytest.fixture
def pool(db: None) -> Pool:
    hardware = Hardware.objects.create(
        name="H100",
        device="H100",
        ownership="rented",
        rent_per_hour=Decimal(1),
        source="a contract",
        as_of=date(2026, 3, 1),
    )
    upstream = Upstream.objects.create(slug="berlin", name="Berlin")
    return Pool.objects.create(
        upstream=upstream, hardware=hardware, devices=1, input_ns_per_token=1, output_ns_per_token=1
    )


def cost(pool: Pool, person: Person, amount: str, at: datetime = HOUR, currency: str = "USD", **fields: object) -> None:
    """One hour's share of cost, as allocation writes it."""
    hour, _ = PoolHour.objects.get_or_create(
        pool=pool,
        hour_start=at,
        defaults={
            "currency": currency,
            "cost": 10,
            "allocated": 10,
            "unallocated": 0,
            "device_ns_used": 1,
            "device_ns_available": 1,
            "basis": {},
            "computed_at": at,
        },
    )
    group = {"offering": LLAMA, "deployment": "d", "billed": True, "device_ns": 1, **fields}
    CostShare.objects.create(
        pool_hour=hour, tenant_id=person.tenant.pk, project_id=person.project.pk, cost=Decimal(amount), **group
    )


def usd(amount: str) -> Money:
    return Money.of(amount, "USD")


def test_a_margin_is_exact_revenue_minus_the_cost_of_all_usage(priced: Person, pool: Pool) -> None:
    add_usage(priced.project, NOVEMBER, "request", 8_819)
    add_usage(priced.project, NOVEMBER, "input_uncached", 18_059_974)
    add_usage(priced.project, NOVEMBER, "output", 245_000)
    add_usage(priced.project, NOVEMBER, "reasoning", 896)
    add_usage(priced.project, NOVEMBER, "output", 5_000_000, billed=False)
    cost(pool, priced, "1.000000000001")
    cost(pool, priced, "0.5", billed=False)
    [row] = margins({priced.tenant.pk}, None, None)
    assert row == Margin(
        tenant="acme",
        offering=LLAMA,
        requests=8_819,
        input_tokens=18_059_974,
        output_tokens=245_896,
        unpriced=0,
        revenue=usd("11.4261348"),
        cost=usd("1.500000000001"),
    )
    assert (row.margin, row.currency) == (usd("9.926134799999"), "USD")


def test_bounds_cut_usage_and_cost_alike(priced: Person, pool: Pool) -> None:
    later = NOVEMBER + timedelta(hours=1)
    for at, hour in ((NOVEMBER, HOUR), (later, HOUR + timedelta(hours=1))):
        add_usage(priced.project, at, "output", 1_000_000)
        cost(pool, priced, "1", hour)
    assert [(row.revenue, row.cost) for row in margins(None, None, None)] == [(usd("4.8"), usd("2"))]
    cut = HOUR + timedelta(hours=1)
    assert [(row.revenue, row.cost) for row in margins(None, cut, None)] == [(usd("2.4"), usd("1"))]
    assert [(row.revenue, row.cost) for row in margins(None, HOUR, cut)] == [(usd("2.4"), usd("1"))]
    assert margins(None, DECEMBER, None) == []


def test_each_usage_is_priced_by_the_version_of_its_time(priced: Person) -> None:
    change = NOVEMBER + timedelta(minutes=15)
    book = priced.tenant.plans.get().price_book
    dearer = {"input_uncached": "1", "input_cached": "1", "output": "10", "reasoning": "10"}
    publishing.publish(new_version(book, change, dearer))
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    add_usage(priced.project, change, "output", 1_000_000)
    assert [row.revenue for row in margins(None, None, None)] == [usd("12.4")]


def test_usage_without_a_price_is_shown_as_such(alice: Person) -> None:
    add_usage(alice.project, NOVEMBER, "output", 7)
    [row] = margins(None, None, None)
    assert (row.unpriced, row.output_tokens, row.revenue) == (7, 7, usd("0"))


def test_cost_in_another_currency_is_a_row_of_its_own_and_counts_nothing_twice(priced: Person, pool: Pool) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    cost(pool, priced, "2", currency="EUR")
    rows = margins(None, None, None)
    assert [(row.currency, row.output_tokens, row.revenue, row.cost) for row in rows] == [
        ("EUR", 0, Money.zero("EUR"), Money.of(2, "EUR")),
        ("USD", 1_000_000, usd("2.4"), usd("0")),
    ]


def test_a_tenant_sees_its_own_only_where_one_is_asked_for(priced: Person, mallory: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1)
    add_usage(mallory.project, NOVEMBER, "output", 1)
    assert [row.tenant for row in margins({mallory.tenant.pk}, None, None)] == ["mallory"]
    assert [row.tenant for row in margins(None, None, None)] == ["acme", "mallory"]
    assert margins(set(), None, None) == []
