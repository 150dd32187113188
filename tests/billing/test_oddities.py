"""What makes an invoice too odd to go out unseen."""

import pytest

from billing.models import ClosingItem
from billing.oddities import Bounds, Oddity, odd
from money.amount import Money

BOUNDS = Bounds(jump_times=10, jump_from=100)


@pytest.mark.parametrize(
    ("gross", "last", "oddity"),
    [
        ("-0.01", None, "negative"),
        ("-5", "-7", "negative"),
        ("0", None, None),
        ("0", "0", None),
        ("0", "12.50", "empty"),
        ("999999", None, None),
        ("99.99", "1", None),
        ("100", "10.01", None),
        ("100", "10", "jump"),
        ("1000", "100.01", None),
        ("1000", "0", "jump"),
        ("1000", "-3", "jump"),
    ],
)
def test_an_invoice_is_odd_that_is_below_nothing_or_gone_or_ten_times_the_last(
    gross: str, last: str | None, oddity: str | None
) -> None:
    found = odd(Money.of(gross, "EUR"), None if last is None else Money.of(last, "EUR"), BOUNDS)
    assert (found and found.oddity) == oddity
    assert found is None or f"{Money.of(gross, 'EUR')}" in found.reason


def test_no_jump_is_odd_where_the_operator_says_so() -> None:
    assert odd(Money.of(10**9, "EUR"), Money.of(1, "EUR"), Bounds(jump_times=0, jump_from=0)) is None


def test_an_item_is_parked_for_every_oddity_and_then_for_approval() -> None:
    assert {str(kind) for kind in ClosingItem.FOR_APPROVAL} == {oddity.value for oddity in Oddity}
