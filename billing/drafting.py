"""A draft: the invoice of a tenant's month as it is now. Everything that decides an amount happens here.

A draft is made anew whenever it is asked for, from the usage, prices and terms of that moment, and nobody edits it. So
usage that comes while it waits is taken in, and a preview is a draft that is rolled back.
"""

from datetime import date, datetime

import msgspec
from django.db.models import Max

from billing import annex, assembly, due, parties, periods
from billing.documents.languages import supported
from billing.errors import DraftIsOpen, MonthIsNotOver, NothingToInvoice
from billing.models import Invoice, InvoiceLine, InvoiceTax, InvoiceUsage, Period
from tenants.models import Tenant


def draft(tenant: Tenant, month: date, *, early: bool, behind_drafts: bool = False, now: datetime) -> Invoice:
    """The draft of a month, made anew; a final invoice is returned as it is.

    Inside a transaction that sees one snapshot. `behind_drafts` counts drafts of earlier months as closed, for a
    preview. Raises one of `ClosingRefused`.
    """
    period = periods.month(month, tenant.time_zone)
    found = existing(tenant, month)
    if found is not None and found.status == Invoice.Status.FINAL:
        return found
    _refuse_unended(period, early=early, now=now)
    if not behind_drafts:
        _refuse_earlier_draft(tenant, month)
    if found is not None:
        discard(found)
    invoice = _new_invoice(tenant, period, now)
    _fill(invoice, period)
    return invoice


def existing(tenant: Tenant, month: date) -> Invoice | None:
    """The invoice of a month, draft or final."""
    return Invoice.objects.filter(tenant=tenant, kind=Invoice.Kind.INVOICE, period__month=month).first()


def discard(invoice: Invoice) -> None:
    """Delete a draft with all its parts, so that what it covered is due again. Postgres keeps a final invoice."""
    for part in (InvoiceLine, InvoiceTax, InvoiceUsage):
        part._default_manager.filter(invoice=invoice).delete()
    period = invoice.period
    invoice.delete()
    period.delete()


def _fill(invoice: Invoice, period: periods.Month) -> None:
    """Write the annex, the lines and the sums of a draft that is empty."""
    annex.cover_due_usage(invoice, invoice.usage_until)
    charges = due.charges_due(invoice)
    if not charges:
        raise NothingToInvoice(f"{invoice.tenant.slug} has no usage left to invoice up to the end of {period}.")
    assembly.assemble(invoice, charges)


def _refuse_unended(period: periods.Month, *, early: bool, now: datetime) -> None:
    if period.end > now and not (early and period.start < now):
        raise MonthIsNotOver(
            f"{period} ends at {period.end:%Y-%m-%d %H:%M} UTC in {period.time_zone}. Wait"
            + (", or ask for an early closing." if period.start < now else ".")
        )


def _refuse_earlier_draft(tenant: Tenant, month: date) -> None:
    """What a draft covers is settled when it is final. A later invoice before that would be numbered out of turn."""
    drafts = Invoice.objects.filter(tenant=tenant, status=Invoice.Status.DRAFT, period__month__lt=month)
    earliest = drafts.order_by("period__month").values_list("period__month", flat=True).first()
    if earliest is not None:
        raise DraftIsOpen(f"{tenant.slug} has a draft of {earliest:%Y-%m}, which comes first. Close that month.")


def _new_invoice(tenant: Tenant, period: periods.Month, now: datetime) -> Invoice:
    row = Period.objects.create(
        tenant=tenant,
        month=period.first_day,
        time_zone=period.time_zone,
        start=period.start,
        end=period.end,
        cutoff=now,
    )
    latest = Invoice.objects.filter(tenant=tenant).aggregate(Max("ordinal"))["ordinal__max"]
    return Invoice.objects.create(
        tenant=tenant,
        period=row,
        ordinal=(latest or 0) + 1,
        usage_until=min(now, period.end),
        closed_early=now < period.end,
        seller=msgspec.to_builtins(parties.the_seller()),
        buyer=msgspec.to_builtins(parties.buyer(tenant)),
        language=supported(tenant.language),
        currency=tenant.currency,
        net=0,
        tax=0,
        gross=0,
        created_at=now,
    )
