"""What a month's usage costs, by kind of price: on both sides of every boundary, and added up in any pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import InexactRate, TiersAreUnclear
from billing.price_kinds import Flat, Graduated, Package, Price, Tiers, UnitPrice, Volume, price_of
from money.amount import Money
from tests.billing.rates import prices_of_every_kind


def usd(amount: str) -> Money:
    return Money.of(amount, "USD")


TIERS = Tiers.of([UnitPrice(usd(amount), 1) for amount in ("3", "2", "1")], [10, 20])


def cost(price: Price, before: int, after: int, total: int | None = None) -> Money:
    return Money(sum(part.pico for part in price.parts(before, after, after if total is None else total)), "USD")


@pytest.mark.parametrize(
    ("before", "after", "amount"),
    [(0, 10, "30"), (0, 11, "32"), (9, 11, "5"), (0, 20, "50"), (0, 21, "51"), (25, 15, "-15"), (5, 5, "0")],
)  # fmt: skip
def test_graduated_units_cost_what_their_own_tier_says(before: int, after: int, amount: str) -> None:
    assert cost(Graduated(TIERS), before, after) == usd(amount)


def test_graduated_usage_falls_into_parts_by_tier() -> None:
    parts = Graduated(TIERS).parts(8, 22, 22)
    assert [(part.price and part.price.amount, part.quantity) for part in parts] == [
        (usd("3"), 2),
        (usd("2"), 10),
        (usd("1"), 2),
    ]


@pytest.mark.parametrize(("total", "amount"), [(1, "3"), (10, "30"), (11, "22"), (20, "40"), (21, "21")])
def test_all_volume_costs_what_the_tier_of_the_total_says(total: int, amount: str) -> None:
    assert cost(Volume(TIERS), 0, total) == usd(amount)


@pytest.mark.parametrize(("quantity", "amount"), [(0, "0"), (1, "5"), (100, "5"), (101, "10"), (200, "10")])
def test_a_package_is_paid_as_soon_as_it_is_begun(quantity: int, amount: str) -> None:
    assert cost(Package(usd("5"), 100), 0, quantity) == usd(amount)


def test_a_package_that_another_project_began_is_used_up_first() -> None:
    package = Package(usd("5"), 100)
    assert [cost(package, 0, 30), cost(package, 30, 100), cost(package, 100, 101)] == [usd("5"), usd("0"), usd("5")]
    assert cost(package, 101, 100) == usd("-5")


def test_a_flat_amount_is_asked_once_and_given_back_where_nothing_was_used_after_all() -> None:
    flat = Flat(usd("50"))
    assert [cost(flat, 0, 1), cost(flat, 1, 9_999), cost(flat, 9_999, 0), cost(flat, 0, 0)] == [
        usd("50"), usd("0"), usd("-50"), usd("0"),
    ]  # fmt: skip


quantities = st.integers(0, 2_000)


@given(prices_of_every_kind("USD"), st.lists(quantities, min_size=1, max_size=8), quantities)
def test_the_pieces_of_a_month_cost_what_the_month_costs(price: Price, places: list[int], total: int) -> None:
    """Whatever the order: usage may also be taken back on the way."""
    stops = [0, *places]
    pieces = [cost(price, before, after, total) for before, after in pairwise(stops)]
    assert sum(pieces, Money.zero("USD")) == cost(price, 0, places[-1], total)


@given(prices_of_every_kind("USD"), quantities, quantities, quantities)
def test_parts_hold_the_whole_quantity_and_a_price_is_never_another_than_its_product(
    price: Price, before: int, after: int, total: int
) -> None:
    parts = list(price.parts(before, after, total))
    assert sum(part.quantity for part in parts) == after - before
    assert all(part.price is None or part.pico == part.price.pico * part.quantity for part in parts)


@given(prices_of_every_kind("USD"), quantities)
def test_no_month_costs_more_than_the_dearest_that_it_can(price: Price, quantity: int) -> None:
    fixed, each = price.dearest
    asked = cost(price, 0, quantity).pico
    assert asked <= price.most(quantity) <= fixed + each * quantity


@pytest.mark.parametrize(
    ("kind", "amounts", "per", "above", "reason"),
    [
        ("graduated", ["3"], 1, [], "0 steps"),
        ("graduated", ["3", "2"], 1, [10, 20], "2 steps and 1 prices"),
        ("volume", ["3", "2"], 1, [0], "ascend from above 0"),
        ("volume", ["3", "2", "1"], 1, [20, 20], "20, 20 do not ascend"),
        ("per_unit", ["3", "2"], 1, [10], "has no tiers"),
        ("flat", ["3", "2"], 1, [], "has no tiers"),
    ],
)
def test_tiers_that_make_no_sense_are_refused(
    kind: str, amounts: list[str], per: int, above: list[int], reason: str
) -> None:
    with pytest.raises(TiersAreUnclear, match=reason):
        price_of(kind, [usd(amount) for amount in amounts], per, above)


def test_the_price_of_one_unit_is_exact_in_every_tier_but_a_package_needs_no_price_of_one_unit() -> None:
    with pytest.raises(InexactRate):
        price_of("graduated", [usd("3"), usd("0.0000001")], 1_000_000, [10])
    assert price_of("package", [usd("1")], 3) == Package(usd("1"), 3)
