"""What a month costs, piece by piece: usage at its prices, and what the plan adds to it and takes from it. Pure.

A charge becomes a line of an invoice, or a part of one. Amounts below zero take something off.
"""

from dataclasses import dataclass
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
