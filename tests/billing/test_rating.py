"""Each quantity meets one price or none, and money stays exact until the line."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import InexactRate
from billing.matching import Match
from billing.rating import Prices, Tariff, Timeline, UnitPrice, Unpriced, Used, rate
from billing.tax import tax_on
from money.amount import Money, decimals

START = datetime(2026, 11, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


def usd(amount: str, per: int = 1_000_000) -> UnitPrice:
    return UnitPrice.of(amount, "USD", per)


def used(at: datetime, quantity: int, unit: str = "output", offering: str = "m", project: int = 1) -> Used:
    return Used(at, project, offering, unit, quantity)


def month_of(at: datetime) -> date:
    return at.date().replace(day=1)


def tariff(*versions: tuple[datetime, Prices]) -> Tariff:
    return Tariff(Timeline([(START - timedelta(days=365), 1)]), {1: Timeline(versions)})


def test_a_price_in_the_middle_of_a_month_gives_two_lines() -> None:
    change = START + timedelta(days=14)
    dated = tariff((START, {Match("m", "output"): usd("2")}), (change, {Match("m", "output"): usd("3")}))
    lines = rate([used(change - QUARTER, 10), used(change, 20), used(change + QUARTER, 5)], dated, month_of).lines
    assert [
        (line.price and line.price.amount.decimal, line.quantity, line.first_start, line.last_end) for line in lines
    ] == [
        (Decimal(2), 10, change - QUARTER, change),
        (Decimal(3), 25, change, change + 2 * QUARTER),
    ]


def test_the_same_price_in_two_versions_gives_one_line() -> None:
    dated = tariff((START, {Match("m", "output"): usd("2")}), (START + QUARTER, {Match("m", "output"): usd("2.0")}))
    assert [line.quantity for line in rate([used(START, 1), used(START + QUARTER, 2)], dated, month_of).lines] == [3]


def test_an_offering_that_a_later_version_drops_is_unpriced_from_then_on() -> None:
    dated = tariff((START, {Match("m", "output"): usd("2")}), (START + QUARTER, {Match("other", "output"): usd("2")}))
    rating = rate([used(START, 1), used(START + QUARTER, 2), used(START + 2 * QUARTER, 3)], dated, month_of)
    assert [line.quantity for line in rating.lines] == [1]
    assert rating.unpriced == [Unpriced(START + QUARTER, "m", "output", 5)]


def test_the_plan_in_force_is_the_latest_that_began() -> None:
    books: dict[int, Timeline[Prices]] = {
        1: Timeline([(START, {Match("m", "output"): usd("2")})]),
        2: Timeline([(START, {Match("m", "output"): usd("1")})]),
    }
    dated = Tariff(Timeline([(START, 1), (START + QUARTER, 2)]), books)
    found = [dated.price(at, "m", "output") for at in (START - QUARTER, START, START + QUARTER, START + 9 * QUARTER)]
    assert found == [None, usd("2"), usd("1"), usd("1")]


def test_requests_cost_nothing_where_they_have_no_price_and_do_not_block() -> None:
    rating = rate([used(START, 7, unit="request")], tariff((START, {Match("m", "output"): usd("2")})), month_of)
    assert (rating.lines, rating.unpriced) == ([], [])


def test_a_price_of_nothing_is_a_price() -> None:
    rating = rate([used(START, 7, unit="request")], tariff((START, {Match("m", "request"): usd("0")})), month_of)
    assert [(line.quantity, line.amount) for line in rating.lines] == [(7, Money.zero("USD"))]


@pytest.mark.parametrize(("amount", "per"), [("0.0000001", 1_000_000), ("0.0000000001", 1_000), ("0.0000000000001", 1)])
def test_a_price_that_is_not_exact_for_one_unit_is_refused(amount: str, per: int) -> None:
    with pytest.raises(InexactRate):
        usd(amount, per)


prices = st.builds(
    lambda units, per: UnitPrice.of(Decimal(units * per).scaleb(-12), "USD", per),
    st.integers(0, 10**10),
    st.sampled_from([1, 1_000, 1_000_000]),
)
usage = st.lists(
    st.builds(
        used,
        st.integers(0, 4_000).map(lambda n: START + n * QUARTER),
        st.integers(0, 10**12),
        st.sampled_from(["request", "input_uncached", "output"]),
        st.sampled_from(["m", "other"]),
        st.sampled_from([1, 2]),
    ),
    max_size=30,
)
books = st.dictionaries(
    st.builds(Match, st.sampled_from(["m", "other"]), st.sampled_from(["input_uncached", "output"])), prices
)


@given(usage, books, books, st.integers(0, 4_000))
def test_every_quantity_is_in_one_line_or_named_as_unpriced(
    all_used: list[Used], first: Prices, second: Prices, change: int
) -> None:
    dated = tariff((START, first), (START + change * QUARTER, second))
    rating = rate(all_used, dated, month_of)
    tokens = sum(one.quantity for one in all_used if one.unit != "request")
    assert sum(line.quantity for line in rating.lines) + sum(gap.quantity for gap in rating.unpriced) == tokens


@given(usage, books, st.randoms())
def test_the_order_of_usage_does_not_matter(all_used: list[Used], book: Prices, chance: Random) -> None:
    shuffled = list(all_used)
    chance.shuffle(shuffled)
    assert rate(shuffled, tariff((START, book)), month_of) == rate(all_used, tariff((START, book)), month_of)


@given(usage, books)
def test_a_line_is_its_quantity_times_its_price_to_the_last_digit(all_used: list[Used], book: Prices) -> None:
    for line in rate(all_used, tariff((START, book)), month_of).lines:
        assert line.price is not None
        exact = Fraction(line.price.amount.decimal) * line.quantity / line.price.per
        assert Fraction(line.amount.decimal) == exact
        assert abs(Fraction(line.amount.rounded().decimal) - exact) <= Fraction(1, 200)


@given(st.integers(-(10**9), 10**9), st.integers(0, 10_000), st.sampled_from(["JPY", "USD", "KWD"]))
def test_tax_is_rounded_once(units: int, hundredths: int, currency: str) -> None:
    net = Money.of(Decimal(units).scaleb(-decimals(currency)), currency)
    tax = tax_on(net, Decimal(hundredths) / 100)
    exact = Fraction(net.decimal) * hundredths / 10_000
    assert tax == tax.rounded()
    assert abs(Fraction(tax.decimal) - exact) <= Fraction(1, 2 * 10 ** decimals(currency))
