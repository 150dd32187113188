"""Every word and figure that stands on an invoice, from the frozen rows. Reads rows and writes none."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from zoneinfo import ZoneInfo

from django.db.models import Sum

from billing.documents import figures
from billing.documents.invoice_pdf import Group, InvoiceText, Line, Party
from billing.models import Invoice, InvoiceLine, InvoiceUsage
from billing.wording import UNIT_NAMES, late_usage_of
from metering.usage import INPUT_UNITS, OUTPUT_UNITS, Unit


def invoice_text(invoice: Invoice) -> InvoiceText:
    """The text of a final invoice. The same rows give the same text."""
    seller = invoice.seller
    return InvoiceText(
        title=f"Invoice {invoice.number}",
        seller=_seller(invoice),
        buyer=_buyer(invoice),
        facts=_facts(invoice),
        notice=_notice(invoice),
        amount_heading=f"Amount ({invoice.currency})",
        groups=_groups(invoice),
        sums=[
            ("Net amount", _money(invoice, invoice.net)),
            *((f"Tax {of.rate_percent.normalize():f} %", _money(invoice, of.tax)) for of in invoice.taxes.all()),
        ],
        total=("Amount due", _money(invoice, invoice.gross)),
        tax_note=" ".join(of.reason for of in invoice.taxes.all() if of.reason),
        payment=_payment(invoice),
        bank=_lines(seller["bank_details"]),
        summary=_summary(invoice),
        remark=_remark(invoice),
        footer=[seller["legal_name"], f"Tax number {seller['tax_number']}", seller["email"]],
    )


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _last_day(end: datetime, zone: ZoneInfo) -> date:
    """The last day of a time that ends just before `end`."""
    return (end - timedelta(microseconds=1)).astimezone(zone).date()


def _day(given: date | None) -> str:
    return figures.day(given) if given else ""


def _money(invoice: Invoice, amount: Decimal) -> str:
    return f"{figures.amount(amount, invoice.currency)} {invoice.currency}"


def _seller(invoice: Invoice) -> Party:
    seller = invoice.seller
    return Party(
        name=seller["legal_name"],
        address=[*_lines(seller["address_lines"]), figures.country(seller["country"])],
        tax_number=seller["tax_number"],
        contact=[seller["email"], f"Tax number {seller['tax_number']}"],
    )


def _buyer(invoice: Invoice) -> Party:
    buyer = invoice.buyer
    address = [*_lines(buyer["address_lines"]), figures.country(buyer["country"])]
    return Party(name=buyer["legal_name"], address=address, tax_number=buyer["tax_number"])


def _facts(invoice: Invoice) -> list[tuple[str, str]]:
    period = invoice.period
    last_day = _last_day(invoice.usage_until, ZoneInfo(period.time_zone))
    return [
        ("Invoice number", invoice.number or ""),
        ("Issue date", _day(invoice.issued_on)),
        ("Due date", _day(invoice.due_on)),
        ("Service period", figures.days(period.month, last_day)),
        ("Time zone", period.time_zone),
    ]


def _notice(invoice: Invoice) -> str:
    if not invoice.closed_early:
        return ""
    until = figures.moment(invoice.usage_until, invoice.period.time_zone)
    return f"Closed early: usage recorded until {until}. What is used later comes on the next invoice."


def _groups(invoice: Invoice) -> list[Group]:
    headed = groupby(invoice.lines.order_by("position"), key=_heading)
    return [Group(title, note, [_line(invoice, line) for line in members]) for (title, note), members in headed]


def _heading(line: InvoiceLine) -> tuple[str, str]:
    """The model, and beside it the project, with the month where that is an earlier one."""
    late = f", {late_usage_of(line.month)}" if line.is_correction else ""
    return line.offering, f"Project {line.project}{late}"


def _line(invoice: Invoice, line: InvoiceLine) -> Line:
    zone = ZoneInfo(invoice.period.time_zone)
    first = line.service_start.astimezone(zone).date()
    last = _last_day(line.service_end, zone)
    price, per = figures.unit_price(line.unit_amount, invoice.currency, line.per, line.unit)
    return Line(
        position=str(line.position),
        unit=UNIT_NAMES[line.unit].capitalize(),
        service=figures.days(first, last),
        quantity=figures.quantity(line.quantity),
        price=price,
        per=per,
        amount=figures.amount(line.amount, invoice.currency),
    )


def _payment(invoice: Invoice) -> str:
    if invoice.gross <= 0:
        return "Nothing is to be paid."
    return f"Please pay {_money(invoice, invoice.gross)} by {_day(invoice.due_on)}, quoting {invoice.number}."


def _summary(invoice: Invoice) -> list[tuple[str, str, str, str]]:
    """Requests, input and output tokens by model, and their sums where there are several models."""
    totals: dict[str, list[int]] = {}
    columns = {Unit.REQUEST: 0, **dict.fromkeys(INPUT_UNITS, 1), **dict.fromkeys(OUTPUT_UNITS, 2)}
    rows = InvoiceUsage.objects.filter(invoice=invoice).values_list("offering", "unit").annotate(Sum("quantity"))
    for offering, unit, quantity in rows.order_by("offering", "unit"):
        counts = totals.setdefault(offering, [0, 0, 0])
        if unit in columns:  # Images and seconds stand in their lines only: they do not add up with tokens.
            counts[columns[Unit(unit)]] += int(quantity)
    if len(totals) > 1:
        totals["All models"] = [sum(column) for column in zip(*totals.values(), strict=True)]
    shown = {name: [figures.quantity(count) for count in counts] for name, counts in totals.items()}
    return [(name, requests, tokens_in, tokens_out) for name, (requests, tokens_in, tokens_out) in shown.items()]


def _remark(invoice: Invoice) -> str:
    cutoff = figures.moment(invoice.period.cutoff, invoice.period.time_zone)
    return (
        f"This invoice covers usage as recorded on {cutoff}. Usage of its period that is recorded later is invoiced "
        "later, named with its month. Each line is quantity times unit price, rounded once."
    )
