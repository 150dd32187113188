"""What a request can cost and did cost is what billing's own look-up says, at every moment."""

from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from functools import partial
from math import ceil
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from billing.rating import Tariff, Timeline, UnitPrice
from gateway.admission.pricing import NoPrice, Pricing, cost
from metering.usage import Unit, Usage
from money.amount import Money

UNITS = (Unit.INPUT_UNCACHED, Unit.OUTPUT, Unit.REQUEST)
instants = st.integers(0, 40)  # Quarters of an hour since the epoch: few, so that they meet.
US = 900 * 1_000_000


def at(quarter: int) -> datetime:
    return datetime.fromtimestamp(quarter * 900, UTC)


prices = st.dictionaries(
    st.tuples(st.just("llama"), st.sampled_from(UNITS)),
    st.integers(0, 50_000).map(lambda pico: UnitPrice(Money(pico, "EUR"), 1)),
)


def timelines(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Timeline[Any]]:
    entries = st.dictionaries(instants, values, max_size=4)
    return entries.map(lambda found: Timeline([(at(when), found[when]) for when in sorted(found)]))


tariffs = st.builds(
    Tariff, timelines(st.integers(1, 2)), st.fixed_dictionaries({1: timelines(prices), 2: timelines(prices)})
)


@given(tariff=tariffs, moments=st.lists(st.integers(0, 45 * US), min_size=1, max_size=10))
def test_kept_prices_are_those_in_force_whatever_moments_are_asked_for(tariff: Tariff, moments: list[int]) -> None:
    pricing, usage = Pricing(tariff), Usage(input_uncached=7, output=3)
    for at_us in moments:
        in_force = tariff.prices(datetime.fromtimestamp(at_us / 1_000_000, UTC))
        expected = sum(
            quantity * in_force[("llama", unit)].pico
            for unit, quantity in ((Unit.REQUEST, 1), (Unit.INPUT_UNCACHED, 7), (Unit.OUTPUT, 3))
            if ("llama", unit) in in_force
        )
        whole = all(("llama", unit) in in_force for unit in (Unit.INPUT_UNCACHED, Unit.OUTPUT))
        wanted = ceil(Fraction(expected, 1000)) if whole else None
        assert cost_or_none(partial(kept_cost, pricing, at_us, usage)) == wanted
        assert cost_or_none(partial(cost, tariff, at_us, "llama", usage)) == wanted


def kept_cost(pricing: Pricing, at_us: int, usage: Usage) -> int:
    return pricing.at(at_us, "llama").cost(usage)


def cost_or_none(ask: Callable[[], int]) -> int | None:
    try:
        return ask()
    except NoPrice:
        return None


@given(tariff=tariffs, at_us=st.integers(0, 45 * US), read=st.integers(0, 500), wrote=st.integers(0, 500))
def test_no_request_costs_more_than_its_bound(tariff: Tariff, at_us: int, read: int, wrote: int) -> None:
    rates = Pricing(tariff).at(at_us, "llama")
    try:
        bound = rates.bound(read, 1)
    except NoPrice:
        return
    assert rates.cost(Usage(input_uncached=read, output=wrote)) <= bound.of(wrote)
