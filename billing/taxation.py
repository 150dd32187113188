"""Taxes the lines of a draft: looks up who is exempt and what rates hold, and lets `billing.tax` decide."""

from calendar import monthrange
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db.models import Q

from billing import tax
from billing.errors import TaxIsUnclear
from billing.models import Invoice, InvoiceLine, InvoiceTax, TaxExemption, TaxRate
from money.amount import Money
from tenants.models import Tenant
from tenants.tax_numbers import is_vat_id


def tax_lines(invoice: Invoice, lines: Sequence[InvoiceLine]) -> Money:
    """Give each line its category and rate, write the draft's `InvoiceTax` rows anew, and return the sum of its taxes.

    The lines may be unsaved; they keep what is set on them, and whoever calls saves it. Late usage of a month is taxed
    as that month was. Raises `TaxIsUnclear`.
    """
    by_month = {month: _treatment(invoice, month) for month in sorted({line.month for line in lines})}
    for line in lines:
        line.tax_category = by_month[line.month].category
        line.tax_rate_percent = by_month[line.month].rate_percent
    sums = tax.sums((by_month[line.month], Money.of(line.amount, invoice.currency)) for line in lines)
    InvoiceTax.objects.filter(invoice=invoice).delete()
    InvoiceTax.objects.bulk_create(_row(invoice, of) for of in sums)
    return sum((of.tax for of in sums), Money.zero(invoice.currency))


def treatment_on(tenant: Tenant, seller_country: str, in_one_stop_shop: bool, on: date) -> tax.Treatment:
    """How what is supplied to a tenant on a day is taxed: by the operator's word, by an exemption, or by rule."""
    if tenant.tax_rate_percent is not None:
        return tax.set_by_operator(tenant.tax_rate_percent, tenant.tax_note)
    exemption = _exemption(tenant, on)
    if exemption is not None:
        return tax.exempt(exemption.reason)
    supply = tax.Supply(
        seller_country=seller_country,
        buyer_country=tenant.country,
        buyer_has_vat_id=is_vat_id(tenant.country, tenant.tax_number),
        in_one_stop_shop=in_one_stop_shop,
        on=on,
    )
    return tax.by_rule(supply, _rates())


def _treatment(invoice: Invoice, month: date) -> tax.Treatment:
    before = _as_before(invoice, month)
    if before is not None:
        return before
    seller = invoice.seller
    found = treatment_on(invoice.tenant, seller["country"], seller["in_one_stop_shop"], _day_of_supply(invoice, month))
    if found.category == tax.Category.REVERSE_CHARGE and not is_vat_id(seller["country"], seller["tax_number"]):
        raise TaxIsUnclear("An invoice under reverse charge names the seller's VAT id. Enter it with the seller.")
    return found


def _day_of_supply(invoice: Invoice, month: date) -> date:
    """The month's last day, or that of an early closing: then a statement of continuous supply ends.

    Source: Art. 64(1) of Directive 2006/112/EC.
    """
    zone = ZoneInfo(invoice.period.time_zone)
    last_used = (invoice.usage_until - timedelta(microseconds=1)).astimezone(zone).date()
    return min(month.replace(day=monthrange(month.year, month.month)[1]), last_used)


def _as_before(invoice: Invoice, month: date) -> tax.Treatment | None:
    """How an earlier month was taxed on its own invoice; None where it had none."""
    if month == invoice.period.month:
        return None
    own = Invoice.objects.filter(tenant=invoice.tenant, kind=Invoice.Kind.INVOICE, period__month=month).exclude(
        pk=invoice.pk
    )
    line = InvoiceLine.objects.filter(invoice__in=own, month=month).first()
    if line is None:
        return None
    row = InvoiceTax.objects.get(
        invoice_id=line.invoice_id, category=line.tax_category, rate_percent=line.tax_rate_percent
    )
    return tax.Treatment(tax.Category(row.category), row.rate_percent, row.reason)


def _exemption(tenant: Tenant, on: date) -> TaxExemption | None:
    holding = TaxExemption.objects.filter(
        Q(valid_until=None) | Q(valid_until__gte=on), tenant=tenant, valid_from__lte=on
    )
    return holding.order_by("-valid_from").first()


def _rates() -> tax.Rates:
    rates: dict[str, list[tuple[date, Decimal]]] = defaultdict(list)
    for country, valid_from, percent in TaxRate.objects.order_by("valid_from").values_list(
        "country", "valid_from", "percent"
    ):
        rates[country].append((valid_from, percent))
    return rates


def _row(invoice: Invoice, of: tax.TaxSum) -> InvoiceTax:
    return InvoiceTax(
        invoice=invoice,
        category=of.category,
        rate_percent=of.rate_percent,
        net=of.net.decimal,
        tax=of.tax.decimal,
        reason=of.reason,
    )
