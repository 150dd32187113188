"""Reads what a document says from the frozen rows of a final invoice or credit note, and writes none.

The same rows give the same content.
"""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Sum
from django.db.models.functions import TruncDate

from billing.documents.content import Content, Item, Party, Tax
from billing.documents.languages import supported
from billing.documents.usage import Used
from billing.errors import InexactRate, InvoiceIsADraft
from billing.models import Invoice, InvoiceLine, InvoiceUsage
from billing.price_kinds import UnitPrice
from metering.usage import ServiceTier
from money.amount import Money


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


def used_by_day(invoice: Invoice) -> list[Used]:
    """Everything that an invoice covers, by day, project, model and unit, in this order."""
    zone = ZoneInfo(invoice.period.time_zone)
    key = ["day", "project_id", "offering", "grade", "service_tier", "unit"]
    rows = InvoiceUsage.objects.filter(invoice=invoice).annotate(day=TruncDate("start", tzinfo=zone)).values(*key)
    return [Used(**row) for row in rows.annotate(quantity=Sum("quantity")).order_by(*key)]
