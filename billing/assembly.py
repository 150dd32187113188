"""Turns charges into the lines and totals of a draft."""

from collections.abc import Mapping, Sequence

from billing import taxation, wallets
from billing.charges import Charge, LineKind
from billing.models import Invoice, InvoiceLine
from billing.rating import UNITS_IN_PRINT, UnitPrice
from billing.wording import line_description
from money.amount import Money
from tenants.models import Project

FEE_AND_CREDIT = (LineKind.FEE, LineKind.GRANT, LineKind.CREDIT)  # After what bounds usage, as they are reckoned.
KINDS_IN_PRINT = [*(kind for kind in LineKind if kind not in FEE_AND_CREDIT), *FEE_AND_CREDIT]


def assemble(invoice: Invoice, charges: Sequence[Charge]) -> None:
    """Write the lines of a draft, one at least, and its totals, the net being the sum of what is printed."""
    names = dict(Project.objects.filter(tenant=invoice.tenant).values_list("id", "name"))
    ordered = sorted(charges, key=lambda charge: _order(invoice, charge, names))
    lines = [_line(invoice, position, charge, names) for position, charge in enumerate(ordered, start=1)]
    lines += wallets.grant_lines(invoice, lines)
    tax = taxation.tax_lines(invoice, lines)
    InvoiceLine.objects.bulk_create(lines, batch_size=1000)
    net = sum((Money.of(line.amount, invoice.currency) for line in lines), Money.zero(invoice.currency))
    invoice.net, invoice.tax, invoice.gross = net.decimal, tax.decimal, (net + tax).decimal
    invoice.prepaid = wallets.prepaid_of(invoice).decimal
    invoice.save(update_fields=["net", "tax", "gross", "prepaid"])


def _order(invoice: Invoice, charge: Charge, names: Mapping[int, str]) -> tuple[object, ...]:
    """The month's own lines first, then corrections from the oldest on; projects before the tenant as a whole."""
    is_correction = charge.month != invoice.period.month
    project = charge.project_id or 0
    of = (charge.offering, charge.grade, charge.service_tier)
    unit = UNITS_IN_PRINT.index(charge.unit) if charge.unit else len(UNITS_IN_PRINT)
    by = (KINDS_IN_PRINT.index(charge.kind), charge.first_start, charge.detail)
    return is_correction, charge.month, not project, names.get(project, ""), project, *of, unit, *by


def _line(invoice: Invoice, position: int, charge: Charge, names: Mapping[int, str]) -> InvoiceLine:
    is_correction = charge.month != invoice.period.month
    price = charge.price or _as_if_priced(charge)
    return InvoiceLine(
        invoice=invoice,
        position=position,
        kind=charge.kind,
        description=line_description(charge, is_correction=is_correction),
        detail=charge.detail,
        month=charge.month,
        is_correction=is_correction,
        project_id=charge.project_id,
        project=names[charge.project_id] if charge.project_id else "",
        offering=charge.offering,
        grade=charge.grade,
        service_tier=charge.service_tier,
        unit=charge.unit,
        quantity=charge.quantity,
        unit_amount=price.amount.decimal,
        per=price.per,
        is_priced=charge.price is not None,
        exact=charge.exact.decimal,
        amount=charge.printed.decimal,
        service_start=charge.first_start,
        service_end=charge.last_end,
    )


def _as_if_priced(charge: Charge) -> UnitPrice:
    """A given amount as the price of the whole quantity. Prices are not below zero: the quantity is."""
    amount = charge.exact if charge.unit else charge.printed
    return UnitPrice(Money(abs(amount.pico), amount.currency), max(abs(charge.quantity), 1))
