"""Money stays exact until it is printed, and never changes its currency."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from money.amount import PICO, Money, decimals, rounded_quotient
from money.errors import CurrencyMismatch, Inexact, UnknownCurrency

picos = st.integers(min_value=-(10**37), max_value=10**37)


def test_the_price_of_a_token_is_exact() -> None:
    per_million = Money.of("0.0375", "USD")
    assert per_million.pico == 37_500 * 10**6
    assert (per_million * 18_059_974).decimal / 10**6 == Decimal("0.677249025")


@given(picos)
def test_an_amount_survives_its_way_through_decimal(pico: int) -> None:
    money = Money(pico, "EUR")
    assert Money.of(money.decimal, "EUR") == money


@given(picos, picos, st.integers(-(10**9), 10**9))
def test_sums_differences_and_products_are_those_of_integers(one: int, other: int, times: int) -> None:
    a, b = Money(one, "EUR"), Money(other, "EUR")
    assert (a + b) - b == a
    assert -(a - b) == b - a
    assert a * times == times * a == Money(one * times, "EUR")
    assert (a < b, a <= b, a > b, a >= b) == (one < other, one <= other, one > other, one >= other)


@pytest.mark.parametrize(
    ("amount", "currency", "printed"),
    [
        ("2.345", "USD", "2.35"),
        ("2.344999999999", "USD", "2.34"),
        ("-2.345", "USD", "-2.35"),
        ("2.5", "JPY", "3"),
        ("-0.499999999999", "JPY", "0"),
        ("1.0005", "KWD", "1.001"),
        ("1.000499999999", "KWD", "1.000"),
        ("0", "KWD", "0"),
    ],
)
def test_an_amount_rounds_to_the_decimals_of_its_currency(amount: str, currency: str, printed: str) -> None:
    assert Money.of(amount, currency).rounded() == Money.of(printed, currency)


@given(picos, st.sampled_from(["JPY", "USD", "KWD"]))
def test_rounding_moves_an_amount_by_half_a_step_at_most_and_only_once(pico: int, currency: str) -> None:
    step = PICO // 10 ** decimals(currency)
    rounded = Money(pico, currency).rounded()
    assert rounded.pico % step == 0
    assert abs(rounded.pico - pico) * 2 <= step
    assert rounded.rounded() == rounded
    assert (-Money(pico, currency)).rounded() == -rounded


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**4))
def test_a_half_goes_away_from_zero(dividend: int, divisor: int) -> None:
    quotient = rounded_quotient(dividend, divisor)
    assert abs(2 * (quotient * divisor - dividend)) <= divisor
    assert rounded_quotient(-dividend, divisor) == -quotient


def test_two_currencies_never_mix() -> None:
    euro, dollar = Money.of(1, "EUR"), Money.of(1, "USD")
    for mix in (euro.__add__, euro.__sub__, euro.__lt__, euro.__le__, euro.__gt__, euro.__ge__):
        with pytest.raises(CurrencyMismatch, match="1 EUR and 1 USD"):
            mix(dollar)
    assert euro != dollar


def test_a_float_is_never_money() -> None:
    with pytest.raises(TypeError, match="float"):
        Money.of(0.1, "EUR")  # type: ignore[arg-type]  # The point of the test.
    with pytest.raises(TypeError, match="float"):
        Money.of(1, "EUR") * 1.5  # type: ignore[operator]  # The point of the test.
    with pytest.raises(TypeError, match="int"):
        Money.of(1, "EUR") + 1  # type: ignore[operator]  # The point of the test.


@pytest.mark.parametrize("amount", ["0.0000000000001", "NaN", "Infinity", Decimal("1E-13")])
def test_an_amount_finer_than_a_millionth_of_a_millionth_is_refused(amount: str | Decimal) -> None:
    with pytest.raises(Inexact):
        Money.of(amount, "EUR")


@pytest.mark.parametrize("currency", ["eur", "EURO", "", "ZZZ"])
def test_an_unknown_currency_is_refused_by_name(currency: str) -> None:
    with pytest.raises(UnknownCurrency, match=repr(currency)):
        Money.zero(currency)


def test_an_amount_prints_without_the_zeros_that_say_nothing() -> None:
    assert str(Money.of("1200.50", "EUR")) == "1200.5 EUR"
    assert str(Money.of("0.000000000001", "EUR")) == "0.000000000001 EUR"
    assert not Money.zero("EUR")
    assert Money.of(1, "EUR")
