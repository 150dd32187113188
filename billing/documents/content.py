"""What a document says, as numbers and days: the one place that page, XML and exports take their figures from. Pure.

`billing.documents.reading` fills it from the rows.
"""

from datetime import date, datetime
from decimal import Decimal

import msgspec

from billing.price_kinds import UnitPrice


class Party(msgspec.Struct, frozen=True):
    """Who sells or who buys. `address` is street, postal code and town, a list of lines."""

    name: str
    address: list[str]
    country: str
    tax_number: str
    email: str


class Item(msgspec.Struct, frozen=True):
    """One printed line. `price` is None where the amount is given and not the product of quantity and price."""

    position: int
    kind: str
    project: str
    project_id: int | None
    offering: str
    grade: str
    service_tier: str
    unit: str
    month: date
    is_correction: bool
    description: str
    detail: str
    quantity: int
    price: UnitPrice | None
    amount: Decimal
    tax_category: str
    tax_rate_percent: Decimal
    first_day: date
    last_day: date
    service_start: datetime
    service_end: datetime

    @property
    def model(self) -> str:
        """The offering with its grade; empty on a line that is not about one."""
        return f"{self.offering}:{self.grade}" if self.grade else self.offering


class Tax(msgspec.Struct, frozen=True):
    category: str
    rate_percent: Decimal
    net: Decimal
    tax: Decimal
    reason: str


class Content(msgspec.Struct, frozen=True):
    """A final document. Amounts are in `currency`, rounded; those of a credit note say how much it takes back."""

    is_credit_note: bool
    number: str
    issued_on: date
    due_on: date
    finalised_at: datetime
    corrects: str
    corrects_issued_on: date | None
    reason: str
    language: str
    currency: str
    time_zone: str
    month: date
    first_day: date
    last_day: date
    usage_until: datetime
    closed_early: bool
    cutoff: datetime
    seller: Party
    bank_details: list[str]
    buyer: Party
    buyer_slug: str
    period_start: datetime
    period_end: datetime
    items: list[Item]
    taxes: list[Tax]
    net: Decimal
    tax: Decimal
    gross: Decimal
    prepaid: Decimal

    @property
    def due(self) -> Decimal:
        """What is to be paid; of a credit note, what is credited."""
        return self.gross - self.prepaid
