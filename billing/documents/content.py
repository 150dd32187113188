"""What a document says, as numbers and days: the one place that page, XML and exports take their figures from.

Reads the frozen rows of a final invoice or credit note and writes none. The same rows give the same content.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from billing.documents.languages import supported
from billing.errors import InexactRate, InvoiceIsADraft
from billing.models import Invoice, InvoiceLine
from billing.rating import UnitPrice
from metering.usage import ServiceTier
from money.amount import Money


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


def content_of(invoice: Invoice) -> Content:
    """What a final invoice or credit note says. Raises `InvoiceIsADraft`."""
    period, seller, buyer, corrected = invoice.period, invoice.seller, invoice.buyer, invoice.corrects
    issued_on, due_on, finalised_at = invoice.issued_on, invoice.due_on, invoice.finalised_at
    if issued_on is None or due_on is None or finalised_at is None:
        raise InvoiceIsADraft
    zone = ZoneInfo(period.time_zone)
    return Content(
        is_credit_note=corrected is not None,
        number=invoice.number or "",
        issued_on=issued_on,
        due_on=due_on,
        finalised_at=finalised_at,
        corrects=(corrected.number or "") if corrected else "",
        corrects_issued_on=corrected.issued_on if corrected else None,
        reason=invoice.reason,
        language=supported(invoice.language),
        currency=invoice.currency,
        time_zone=period.time_zone,
        month=period.month,
        first_day=period.month,
        last_day=last_day(invoice.usage_until, zone),
        usage_until=invoice.usage_until,
        closed_early=invoice.closed_early,
        cutoff=period.cutoff,
        seller=_party(seller),
        bank_details=lines_of(seller["bank_details"]),
        buyer=_party(buyer),
        buyer_slug=buyer["slug"],
        period_start=period.start,
        period_end=period.end,
        items=[_item(invoice.currency, line, zone) for line in invoice.lines.order_by("position")],
        taxes=_taxes(invoice),
        net=invoice.net,
        tax=invoice.tax,
        gross=invoice.gross,
        prepaid=invoice.prepaid,
    )


def lines_of(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def last_day(end: datetime, zone: ZoneInfo) -> date:
    """The last day of a time that ends just before `end`."""
    return (end - timedelta(microseconds=1)).astimezone(zone).date()


def _party(copy: dict[str, str]) -> Party:
    return Party(
        name=copy["legal_name"],
        address=lines_of(copy["address_lines"]),
        country=copy["country"],
        tax_number=copy["tax_number"],
        email=copy["email"],
    )


def _item(currency: str, line: InvoiceLine, zone: ZoneInfo) -> Item:
    return Item(
        position=line.position,
        kind=line.kind,
        project=line.project,
        project_id=line.project_id,
        offering=line.offering,
        grade=line.grade,
        service_tier="" if line.service_tier == ServiceTier.STANDARD else line.service_tier,
        unit=line.unit,
        month=line.month,
        is_correction=line.is_correction,
        description=line.description,
        detail=line.detail,
        quantity=line.quantity,
        price=_price(currency, line),
        amount=line.amount,
        tax_category=line.tax_category,
        tax_rate_percent=line.tax_rate_percent,
        first_day=line.service_start.astimezone(zone).date(),
        last_day=last_day(line.service_end, zone),
        service_start=line.service_start,
        service_end=line.service_end,
    )


def _price(currency: str, line: InvoiceLine) -> UnitPrice | None:
    """The price that gives the amount, if there is one: a reader who multiplies must find what is printed."""
    if line.unit_amount < 0 or line.per <= 0 or not line.unit:
        return None
    try:
        price = UnitPrice.of(line.unit_amount, currency, line.per)
    except InexactRate:
        return None
    return price if price.of_quantity(line.quantity).rounded() == Money.of(line.amount, currency) else None


def _taxes(invoice: Invoice) -> list[Tax]:
    return [
        Tax(category=row.category, rate_percent=row.rate_percent, net=row.net, tax=row.tax, reason=row.reason)
        for row in invoice.taxes.all()
    ]
