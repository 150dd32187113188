"""Turns rated usage into the lines and totals of a draft."""

from billing import taxation, wallets
from billing.errors import CurrencyIsNotTheTenants, NothingToInvoice
from billing.matching import qualified
from billing.models import Invoice, InvoiceLine
from billing.rating import RatedLine, UnitPrice, print_order
from billing.wording import line_description
from money.amount import Money
from tenants.models import Project


def assemble(invoice: Invoice, rated: list[RatedLine]) -> None:
    """Write the lines of a draft and its totals: each line rounded once, the net being the sum of what is printed."""
    _refuse_lines(invoice, rated)
    names = dict(Project.objects.filter(tenant=invoice.tenant).values_list("id", "name"))
    ordered = sorted(rated, key=lambda line: _order(invoice, line, names[line.project_id]))
    lines = [_line(invoice, position, line, names[line.project_id]) for position, line in enumerate(ordered, start=1)]
    lines += wallets.grant_lines(invoice, lines)
    tax = taxation.tax_lines(invoice, lines)
    InvoiceLine.objects.bulk_create(lines, batch_size=1000)
    net = sum((Money.of(line.amount, invoice.currency) for line in lines), Money.zero(invoice.currency))
    invoice.net, invoice.tax, invoice.gross = net.decimal, tax.decimal, (net + tax).decimal
    invoice.prepaid = wallets.prepaid_of(invoice).decimal
    invoice.save(update_fields=["net", "tax", "gross", "prepaid"])


def _refuse_lines(invoice: Invoice, rated: list[RatedLine]) -> None:
    if not rated:
        raise NothingToInvoice("There are requests, but nothing that has a price.")
    for line in rated:
        if line.amount.currency != invoice.currency:
            raise CurrencyIsNotTheTenants(
                f"{line.offering} is priced in {line.amount.currency}, "
                f"and {invoice.tenant.slug} pays in {invoice.currency}. One of the two has to change."
            )


def _order(invoice: Invoice, line: RatedLine, project: str) -> tuple[object, ...]:
    """The month's own lines first, then corrections from the oldest on."""
    is_correction = line.month != invoice.period.month
    of = (line.offering, line.grade, line.service_tier)
    return is_correction, line.month, project, line.project_id, *of, *print_order(line)


def _line(invoice: Invoice, position: int, line: RatedLine, project: str) -> InvoiceLine:
    is_correction = line.month != invoice.period.month
    sold = qualified(line.offering, line.grade, line.service_tier)
    price = line.price or UnitPrice(line.amount, 1)
    return InvoiceLine(
        invoice=invoice,
        position=position,
        description=line_description(sold, line.unit, line.month if is_correction else None),
        month=line.month,
        is_correction=is_correction,
        project_id=line.project_id,
        project=project,
        offering=line.offering,
        grade=line.grade,
        service_tier=line.service_tier,
        unit=line.unit,
        quantity=line.quantity if line.price else 1,
        unit_amount=price.amount.decimal,
        per=price.per,
        exact=line.amount.decimal,
        amount=line.amount.rounded().decimal,
        service_start=line.first_start,
        service_end=line.last_end,
    )
