"""Reads what is left in a wallet and what is due on an invoice, as `wallet_draws` reckons with them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import accumulate

from django.db.models import F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from billing.models import Invoice, InvoiceLine, InvoiceUsage, WalletCredit, WalletDraw
from billing.wallet_draws import Credit, Due, by_time
from money.amount import Money
from tenants.models import Tenant


@dataclass(frozen=True)
class Holding:
    """What is left in a wallet, by kind."""

    bought: Money
    granted: Money


def with_left(credits_asked: "QuerySet[WalletCredit]") -> "QuerySet[WalletCredit]":
    """Each credit with what is `left` of it."""
    return credits_asked.annotate(  # type: ignore[no-redef]  # The table declares what is added here.
        left=F("amount") - Coalesce(Sum("draws__amount"), Decimal(0))
    )


def credits_of(tenant: Tenant, kind: WalletCredit.Kind) -> list[Credit]:
    """The credits of a tenant that hold something, those included whose time is over: it may have been used before."""
    rows = with_left(WalletCredit.objects.filter(tenant=tenant, kind=kind))
    return [_credit(row, Money.of(row.left, tenant.currency)) for row in rows if row.left > 0]


def given_by_grants(tenant: Tenant) -> list[Credit]:
    """The granted credits with what they gave to invoices, as if that were left of them."""
    grants = WalletCredit.objects.filter(tenant=tenant, kind=WalletCredit.Kind.GRANTED)
    used = Sum("draws__amount", filter=Q(draws__kind=WalletDraw.Kind.USE))
    return [_credit(row, Money.of(row.gave, tenant.currency)) for row in grants.annotate(gave=used).filter(gave__gt=0)]


def dues_of(invoice: Invoice, lines: Sequence[InvoiceLine]) -> list[Due]:
    """What each line asks for, or gives back; usage in parts where a credit expires amid it."""
    expiries = _expiries_amid(invoice.tenant_id, lines)
    return [part for place, line in enumerate(lines) for part in _parts(invoice, place, line, expiries)]


def holding(tenant: Tenant) -> Holding:
    """What the tenant's wallet holds, those credits included whose time is over and that are not booked as expired."""
    left = {"bought": Money.zero(tenant.currency), "granted": Money.zero(tenant.currency)}
    for row in with_left(WalletCredit.objects.filter(tenant=tenant)):
        left[row.kind] += Money.of(row.left, tenant.currency)
    return Holding(**left)


def _credit(row: WalletCredit, left: Money) -> Credit:
    return Credit(row.pk, left, row.priority, row.expires_at, row.created_at, frozenset(row.offerings))


def _expiries_amid(tenant_id: int, lines: Sequence[InvoiceLine]) -> list[datetime]:
    if not lines:
        return []
    first, last = min(line.service_start for line in lines), max(line.service_end for line in lines)
    found = WalletCredit.objects.filter(tenant=tenant_id, expires_at__gt=first, expires_at__lt=last)
    return sorted({credit.expires_at for credit in found if credit.expires_at is not None})


def _parts(invoice: Invoice, place: int, line: InvoiceLine, expiries: Iterable[datetime]) -> list[Due]:
    rate = int(Decimal(line.tax_rate_percent) * 100)
    amount = Money.of(line.amount, invoice.currency)
    due = Due(place, line.offering, line.service_start, amount, f"{line.month} {line.tax_category}", rate)
    amid = [expiry for expiry in expiries if line.service_start < expiry < line.service_end]
    if not amid or line.kind != InvoiceLine.Kind.USAGE:
        return [due]
    quantities = _quantities(invoice, line, amid)
    return by_time(due, amid, quantities[:-1], quantities[-1])


def _quantities(invoice: Invoice, line: InvoiceLine, expiries: Sequence[datetime]) -> list[int]:
    """What the annex says was used of a line before each expiry, and in all."""
    of_line = {name: getattr(line, name) for name in ("project_id", "offering", "grade", "service_tier", "unit")}
    usage = InvoiceUsage.objects.filter(
        invoice=invoice, start__gte=line.service_start, start__lt=line.service_end, **of_line
    )
    per_start = usage.order_by().values_list("start").annotate(Sum("quantity"))
    stretches = [0] * (len(expiries) + 1)
    for start, quantity in per_start:
        stretches[sum(expiry <= start for expiry in expiries)] += int(quantity)
    return list(accumulate(stretches))
