"""What can still be taken back of an invoice."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.credits import LineLeft, TaxLeft, net_by_tax
from billing.errors import CreditOverLine
from billing.tax import tax_on
from money.amount import Money

VAT = ("S", Decimal("19.00"))


def euros(amount: str) -> Money:
    return Money.of(amount, "EUR")


def line(amount: str, exact: str) -> LineLeft:
    return LineLeft(1, VAT, euros(amount), euros(exact))


def test_the_last_part_of_a_line_takes_what_is_left_exactly() -> None:
    assert line("10.84", "10.8359844").taken(euros("5")).exact == euros("5")
    assert line("5.84", "5.8359844").taken(euros("5.84")).exact == euros("5.8359844")
    assert line("-2", "-2.001").taken(euros("-0.5")).amount == euros("-0.5")


@pytest.mark.parametrize(
    ("left", "asked"),
    [("10.84", "10.85"), ("10.84", "0"), ("10.84", "-1"), ("-2", "1"), ("-2", "-2.01"), ("0", "1"), ("5", "0.001")],
)
def test_more_than_a_line_has_is_refused(left: str, asked: str) -> None:
    with pytest.raises(CreditOverLine):
        line(left, left).taken(euros(asked))


def test_sums_are_by_tax() -> None:
    other = LineLeft(2, ("Z", Decimal(0)), euros("3"), euros("3"))
    assert net_by_tax([line("1", "1"), other, line("2", "2")]) == {VAT: euros("3"), other.tax: euros("3")}


cents = st.integers(1, 10**9)


@given(whole=cents, cuts=st.lists(cents, max_size=6), rate=st.integers(1, 10_000))
def test_parts_of_a_tax_never_come_to_more_than_it_and_all_parts_to_all_of_it(
    whole: int, cuts: list[int], rate: int
) -> None:
    """Parts are asked for one after the other, as notes are given, and the last one takes the rest."""
    percent = Decimal(rate) / 100
    net = euros(str(Decimal(whole) / 100))
    left = TaxLeft(("S", percent), net, tax_on(net, percent))
    total = euros("0")
    for asked in [*(euros(str(Decimal(cut) / 100)) for cut in cuts), net]:
        part = min(asked, left.net)
        tax = left.on(part)
        assert euros("0") <= tax <= left.tax
        total += tax
        left = TaxLeft(left.key, left.net - part, left.tax - tax)
    assert (left.net, left.tax, total) == (euros("0"), euros("0"), tax_on(net, percent))
