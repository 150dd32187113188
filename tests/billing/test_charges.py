"""Charges are called what lines are called."""

from billing.charges import LineKind
from billing.models import InvoiceLine


def test_a_charge_of_every_kind_can_be_a_line() -> None:
    assert {kind.value for kind in LineKind} == {kind.value for kind in InvoiceLine.Kind}
