"""Each quantity meets one price or none, and money stays exact until the line."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.bounds import most
from billing.errors import InexactRate
from billing.matching import Match
from billing.price_kinds import price_of
from billing.rating import Prices, Rating, Tariff, Timeline, UnitPrice, Unpriced, Used, rate
from billing.tax import tax_on
from money.amount import Money, decimals
from tests.billing.rates import prices_of_every_kind

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


GRADUATED = price_of("graduated", [Money.of(amount, "USD") for amount in ("3", "2")], 1, [10])


def sums(rating: Rating) -> dict[tuple[object, ...], tuple[int, Money]]:
    return {
        (line.month, line.project_id, line.grade, line.price, line.detail): (line.quantity, line.amount)
        for line in rating.lines
    }


def test_projects_share_the_tiers_of_a_month_in_the_order_of_use() -> None:
    rating = rate(
        [used(START, 8), used(START + QUARTER, 5, project=2), used(START + 2 * QUARTER, 1)],
        tariff((START, {Match("m", "output"): GRADUATED})),
        month_of,
    )
    assert [(line.project_id, line.price, line.quantity) for line in rating.lines] == [
        (1, usd("3", 1), 8), (1, usd("2", 1), 1), (2, usd("3", 1), 2), (2, usd("2", 1), 3),
    ]  # fmt: skip


def test_each_month_begins_its_tiers_anew() -> None:
    december = START + timedelta(days=30)
    book = tariff((START, {Match("m", "output"): GRADUATED}))
    assert {line.price for line in rate([used(START, 10), used(december, 10)], book, month_of).lines} == {usd("3", 1)}


def test_a_new_version_in_the_middle_of_a_month_goes_on_from_the_place_that_was_reached() -> None:
    dearer = price_of("graduated", [Money.of(amount, "USD") for amount in ("6", "5")], 1, [10])
    dated = tariff((START, {Match("m", "output"): GRADUATED}), (START + QUARTER, {Match("m", "output"): dearer}))
    lines = rate([used(START, 8), used(START + QUARTER, 4)], dated, month_of).lines
    assert [(line.price, line.quantity) for line in lines] == [(usd("3", 1), 8), (usd("6", 1), 2), (usd("5", 1), 2)]


def test_grades_that_meet_a_rate_for_any_share_its_tiers_and_have_lines_of_their_own() -> None:
    grounded = Used(START, 1, "m", "output", 8, "grounded")
    lines = rate([used(START, 8), grounded], tariff((START, {Match("m", "output"): GRADUATED})), month_of).lines
    assert [(line.grade, line.price, line.quantity) for line in lines] == [
        ("", usd("3", 1), 8), ("grounded", usd("3", 1), 2), ("grounded", usd("2", 1), 6),
    ]  # fmt: skip


def test_usage_taken_back_is_taken_from_the_top() -> None:
    book = tariff((START, {Match("m", "output"): GRADUATED}))
    lines = rate([used(START, 8), used(START + QUARTER, 8), used(START, -7)], book, month_of).lines
    assert [(line.price, line.quantity, line.amount) for line in lines] == [
        (usd("3", 1), 9, Money.of(27, "USD")),
        (usd("2", 1), 0, Money.zero("USD")),
    ]


def test_a_volume_price_is_that_of_the_whole_month_for_every_row() -> None:
    volume = price_of("volume", [Money.of(amount, "USD") for amount in ("3", "2")], 1, [10])
    book = tariff((START, {Match("m", "output"): volume}))
    lines = rate([used(START, 8), used(START + QUARTER, 4, project=2)], book, month_of).lines
    assert [(line.project_id, line.price, line.quantity) for line in lines] == [
        (1, usd("2", 1), 8),
        (2, usd("2", 1), 4),
    ]


def test_lines_of_packages_and_flat_amounts_have_no_price_of_a_unit_and_tell_their_own() -> None:
    rates = {
        Match("m", "image"): price_of("package", [Money.of(5, "USD")], 1_000),
        Match("m", "second"): price_of("flat", [Money.of(50, "USD")], 1),
    }
    all_used = [used(START, 1_500, "image"), used(START, 9, "second"), used(START, 1, "second", project=2)]
    lines = rate(all_used, tariff((START, rates)), month_of).lines
    assert [(line.project_id, line.price, line.quantity, line.amount, line.detail) for line in lines] == [
        (1, None, 1_500, Money.of(10, "USD"), "5 USD / 1,000"),
        (1, None, 9, Money.of(50, "USD"), "50 USD"),
        (2, None, 1, Money.zero("USD"), "50 USD"),
    ]


graded = st.builds(
    Used,
    st.integers(0, 4_000).map(lambda n: START + n * QUARTER),
    st.sampled_from([1, 2]),
    st.just("m"),
    st.sampled_from(["input_uncached", "output"]),
    st.integers(0, 900),
    st.sampled_from(["", "grounded"]),
    st.sampled_from(["standard", "batch"]),
)
rates_of_every_kind = st.dictionaries(
    st.builds(
        Match,
        st.just("m"),
        st.sampled_from(["input_uncached", "output"]),
        st.sampled_from(["", "grounded"]),
        st.sampled_from(["standard", "batch"]),
    ),
    prices_of_every_kind("USD"),
)


@given(st.lists(graded, max_size=20), rates_of_every_kind, st.integers(0, 20))
def test_an_invoice_and_the_correction_after_it_make_the_month(all_used: list[Used], rates: Prices, first: int) -> None:
    """What a correction asks is a difference, so nothing but the sum of all usage counts in the end."""
    book = tariff((START, rates))
    whole, part = rate(all_used, book, month_of), rate(all_used[:first], book, month_of)
    by_match: dict[tuple[date, Match], int] = {}
    for one in all_used:
        axis = (month_of(one.start), Match(one.offering, one.unit, one.grade, one.service_tier))
        by_match[axis] = by_match.get(axis, 0) + one.quantity
    wanted = sum(
        part.pico for (_, match), total in by_match.items() if match in rates
        for part in rates[match].parts(0, total, total)
    )  # fmt: skip
    asked = sum(line.amount.pico for line in part.lines)
    correction = sum(line.amount.pico for line in whole.lines) - asked
    assert asked + correction == wanted
    taken_back = [replace(one, quantity=-one.quantity) for one in reversed(all_used)]
    assert not any(line.amount or line.quantity for line in rate([*all_used, *taken_back], book, month_of).lines)


@given(st.lists(graded, max_size=20), rates_of_every_kind, st.lists(st.integers(0, 4_000), max_size=3))
def test_cuts_part_lines_and_change_no_amount(all_used: list[Used], rates: Prices, cuts: list[int]) -> None:
    book = tariff((START, rates))
    instants = [START + cut * QUARTER for cut in sorted(cuts)]
    lines = rate(all_used, book, month_of, instants).lines
    assert not any(line.first_start < instant < line.last_end for line in lines for instant in instants)
    whole = rate(all_used, book, month_of)
    assert sum(line.amount.pico for line in lines) == sum(line.amount.pico for line in whole.lines)
    assert sum(line.quantity for line in lines) == sum(line.quantity for line in whole.lines)


@given(st.lists(graded, max_size=20), rates_of_every_kind)
def test_no_month_costs_more_than_budgets_count(all_used: list[Used], rates: Prices) -> None:
    book = tariff((START, rates))
    asked = sum(line.amount.pico for line in rate(all_used, book, month_of).lines)
    assert asked <= most(all_used, book, month_of)


@given(st.integers(-(10**9), 10**9), st.integers(0, 10_000), st.sampled_from(["JPY", "USD", "KWD"]))
def test_tax_is_rounded_once(units: int, hundredths: int, currency: str) -> None:
    net = Money.of(Decimal(units).scaleb(-decimals(currency)), currency)
    tax = tax_on(net, Decimal(hundredths) / 100)
    exact = Fraction(net.decimal) * hundredths / 10_000
    assert tax == tax.rounded()
    assert abs(Fraction(tax.decimal) - exact) <= Fraction(1, 2 * 10 ** decimals(currency))
