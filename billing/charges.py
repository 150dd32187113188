"""What a month costs, piece by piece: usage at its prices, and what the plan adds to it and takes from it. Pure.

A charge becomes a line of an invoice, or a part of one. Amounts below zero take something off.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum

from billing.rating import UnitPrice
from money.amount import Money


class LineKind(StrEnum):
    """What a charge is for. `InvoiceLine.Kind` has the same values; a test compares them."""

    USAGE = "usage"
    FEE = "fee"
    INCLUDED = "included"
    DISCOUNT = "discount"
    COUPON = "coupon"
    MINIMUM = "minimum"
    COMMITMENT = "commitment"
    MAXIMUM = "maximum"
    GRANT = "grant"
    CREDIT = "credit"


@dataclass(frozen=True, slots=True)
class Charge:
    """An exact amount of one month. `project_id` is None, and the names are empty, where it is the tenant's as a whole.

    `price` is None where the amount is given, and not the product of `quantity` and a price. `detail` is the name of
    the fee, coupon, discount, ... as it is worded in print. The service lies in `[first_start, last_end)`.

    `amount` is given where it is not `exact` rounded: a correction is the difference of two printed amounts, so that
    all lines ever printed for a month add up to what the month would be printed with now.
    """

    kind: LineKind
    month: date
    project_id: int | None
    offering: str
    grade: str
    service_tier: str
    unit: str
    quantity: int
    price: UnitPrice | None
    exact: Money
    first_start: datetime
    last_end: datetime
    detail: str = ""
    amount: Money | None = None

    @property
    def printed(self) -> Money:
        """What can be paid of it."""
        return self.exact.rounded() if self.amount is None else self.amount


PartOf = Callable[[Charge], Hashable]


def summed(charges: Iterable[Charge], part_of: PartOf = lambda charge: None) -> dict[Hashable, Charge]:
    """One charge for each thing that is charged at one price; `part_of` keeps those apart that it tells apart."""
    found: dict[Hashable, Charge] = {}
    for charge in charges:
        key = (_thing(charge), part_of(charge))
        found[key] = _sum(found[key], charge) if key in found else charge
    return found


def difference(now: Iterable[Charge], before: Iterable[Charge], part_of: PartOf = lambda charge: None) -> list[Charge]:
    """What is still to be charged where `before` was already: nothing of what is the same in both.

    Both are summed first. What was charged before and is not due any more is taken back.
    """
    due, charged = summed(now, part_of), summed(before, part_of)
    found = [_less(charge, charged[key]) if key in charged else charge for key, charge in due.items()]
    found += [_less(_none_of(charge), charge) for key, charge in charged.items() if key not in due]
    return [charge for charge in found if charge.quantity or charge.exact or charge.printed]


def _thing(charge: Charge) -> Hashable:
    named = (charge.project_id, charge.offering, charge.grade, charge.service_tier, charge.unit)
    return charge.kind, charge.month, named, charge.price, charge.detail


def _sum(one: Charge, other: Charge) -> Charge:
    return replace(
        one,
        quantity=one.quantity + other.quantity,
        exact=one.exact + other.exact,
        amount=None if one.amount is None and other.amount is None else one.printed + other.printed,
        first_start=min(one.first_start, other.first_start),
        last_end=max(one.last_end, other.last_end),
    )


def _none_of(charge: Charge) -> Charge:
    return replace(charge, quantity=0, exact=charge.exact - charge.exact, amount=charge.exact - charge.exact)


def _less(charge: Charge, charged: Charge) -> Charge:
    exact, amount = charge.exact - charged.exact, charge.printed - charged.printed
    quantity = charge.quantity - charged.quantity
    if not charge.unit:  # An amount as a whole: there is one of it, or one is taken back.
        quantity = 0 if not (exact or amount) else 1 if exact.pico + amount.pico > 0 else -1
    return replace(charge, quantity=quantity, exact=exact, amount=amount)
