"""What a request can cost and did cost is what billing's own look-up says, at every moment."""

from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from functools import partial
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.matching import ANY, Match
from billing.price_kinds import Price, Volume
from billing.rating import Tariff, Timeline, UnitPrice
from gateway.admission.pricing import Bound, NoPrice, Pricing, Rates, cost
from metering.usage import Unit, Usage
from money.amount import Money
from tests.billing.rates import prices_of_every_kind
from tests.metering.samples import closed, opened

UNITS = (Unit.INPUT_UNCACHED, Unit.OUTPUT, Unit.REQUEST)
instants = st.integers(0, 40)  # Quarters of an hour since the epoch: few, so that they meet.
US = 900 * 1_000_000


def at(quarter: int) -> datetime:
    return datetime.fromtimestamp(quarter * 900, UTC)


plain = st.dictionaries(
    st.builds(Match, st.just("llama"), st.sampled_from(UNITS)),
    st.integers(0, 50_000).map(lambda pico: UnitPrice(Money(pico, "EUR"), 1)),
)


def timelines(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Timeline[Any]]:
    entries = st.dictionaries(instants, values, max_size=4)
    return entries.map(lambda found: Timeline([(at(when), found[when]) for when in sorted(found)]))


def tariffs(prices: st.SearchStrategy[Any]) -> st.SearchStrategy[Tariff]:
    books = st.fixed_dictionaries({1: timelines(prices), 2: timelines(prices)})
    return st.builds(Tariff, timelines(st.integers(1, 2)), books)


matches = st.builds(Match, st.just("llama"), st.sampled_from(UNITS), st.sampled_from(["", "grounded"]))


@given(tariff=tariffs(plain), moments=st.lists(st.integers(0, 45 * US), min_size=1, max_size=10))
def test_kept_prices_are_those_in_force_whatever_moments_are_asked_for(tariff: Tariff, moments: list[int]) -> None:
    pricing, usage = Pricing(tariff), Usage(input_uncached=7, output=3)
    for at_us in moments:
        in_force = tariff.prices(datetime.fromtimestamp(at_us / 1_000_000, UTC))
        expected = sum(
            quantity * in_force[Match("llama", unit)].dearest[1]
            for unit, quantity in ((Unit.REQUEST, 1), (Unit.INPUT_UNCACHED, 7), (Unit.OUTPUT, 3))
            if Match("llama", unit) in in_force
        )
        whole = all(Match("llama", unit) in in_force for unit in (Unit.INPUT_UNCACHED, Unit.OUTPUT))
        wanted = ceil(Fraction(expected, 1000)) if whole else None
        assert cost_or_none(partial(kept_cost, pricing, at_us, usage)) == wanted
        assert cost_or_none(partial(cost, tariff, closed(opened(at_us=at_us, offering="llama"), usage=usage))) == wanted


def kept_cost(pricing: Pricing, at_us: int, usage: Usage) -> int:
    return pricing.at(at_us, "llama").cost(usage)


def cost_or_none(ask: Callable[[], int]) -> int | None:
    try:
        return ask()
    except NoPrice:
        return None


counts = st.integers(0, 500)


@given(
    tariff=tariffs(st.dictionaries(matches, prices_of_every_kind("EUR"))),
    at_us=st.integers(0, 45 * US),
    read=counts,
    wrote=counts,
    grade=st.sampled_from(["", "grounded"]),
)
def test_no_request_costs_more_than_its_bound(tariff: Tariff, at_us: int, read: int, wrote: int, grade: str) -> None:
    rates = Pricing(tariff).at(at_us, "llama")
    try:
        bound = rates.bound(read, 1)
        cost = rates.cost(Usage(input_uncached=read, output=wrote), grade)
    except NoPrice:
        return
    assert cost <= bound.of(wrote)


@given(price=prices_of_every_kind("EUR"), before=st.integers(0, 10_000), quantity=counts, more=st.integers(0, 10_000))
def test_a_request_draws_no_less_than_its_invoice_asks_for_it(
    price: Price, before: int, quantity: int, more: int
) -> None:
    prices = {Match("llama", Unit.OUTPUT): price}
    after = before + quantity
    asked = sum(part.pico for part in price.parts(before, after, after + more))
    if not isinstance(price, Volume):  # Of which the whole month's asking is bounded, and not each stretch of it.
        assert 1000 * Rates(prices, "llama").cost(Usage(output=quantity)) >= asked
    assert 1000 * sum(Rates(prices, "llama").cost(Usage(output=each)) for each in (before, quantity)) >= sum(
        part.pico for part in price.parts(0, after, after)
    )


def test_each_grade_and_service_tier_draws_its_own_price() -> None:
    prices = {
        Match("llama", Unit.OUTPUT, "", "standard"): UnitPrice(Money(1_000, "EUR"), 1),
        Match("llama", Unit.OUTPUT, "grounded", "standard"): UnitPrice(Money(3_000, "EUR"), 1),
        Match("llama", Unit.OUTPUT, ANY, "batch"): UnitPrice(Money(500, "EUR"), 1),
        Match("llama", Unit.INPUT_UNCACHED, ANY, ANY): UnitPrice(Money(2_000, "EUR"), 1),
    }
    standard, batch = Rates(prices, "llama"), Rates(prices, "llama", "batch")
    assert standard.bound(10, 1) == Bound(20, 3)
    assert [standard.cost(Usage(output=10), grade) for grade in ("", "grounded")] == [10, 30]
    assert (batch.bound(10, 1), batch.cost(Usage(output=10), "grounded")) == (Bound(20, 1), 5)
    with pytest.raises(NoPrice):
        Rates(prices, "llama", "flex").bound(10, 1)
    with pytest.raises(NoPrice):
        standard.cost(Usage(output=1), "screened")
