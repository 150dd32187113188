"""Closing a tenant's month: from buckets to one final invoice.

Two transactions. The first reads one snapshot of the database and leaves a whole draft, or nothing. The second is
short: it numbers and freezes. Killed in between, a closing is taken up where it stopped by asking for it again.
Rendering and mailing come after both, from the outbox (`billing.delivery`).

Two closings of a tenant at once, of one month or of two, want the same ordinal (or the same period). Postgres lets
one of them have it, and the other begins again from a snapshot that knows of the first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from functools import cache

import msgspec
from django.db import IntegrityError, connection, transaction
from django.db.models import Max
from django.utils import timezone

from billing import annex, assembly, parties, periods
from billing.errors import (
    EarlierMonthIsOpen,
    MonthIsNotOver,
    NothingToInvoice,
    TooManyClosings,
    UsageIsNotFolded,
    UsageIsNotPriced,
)
from billing.finalising import finalise
from billing.models import Invoice, Period
from billing.rating import RatedLine, rate
from billing.tariffs import tariff_of
from metering.models import Batch
from tenants.models import Tenant

ATTEMPTS_MAX = 20
UNPRICED_NAMED_MAX = 20
CONSTRAINTS_OF_TURNS = {"period_once", "invoice_ordinal"}


def close(tenant: Tenant, month: date, *, early: bool = False, now: datetime | None = None) -> Invoice:
    """The final invoice of a tenant's month, made now where there is none yet.

    `month` is its first day. `early` closes a month that has not ended: what is used later comes on the next invoice.
    Raises one of `ClosingRefused`, having changed nothing. Must not be called inside a transaction.
    """
    now = now or timezone.now()
    period = periods.month(month, tenant.time_zone)
    for _ in range(ATTEMPTS_MAX):
        try:
            with one_snapshot():
                invoice = _existing(tenant, period) or _draft(tenant, period, early=early, now=now)
        except IntegrityError as conflict:
            if _constraint(conflict) not in CONSTRAINTS_OF_TURNS:
                raise
        else:
            return finalise(invoice.pk, now=now)
    raise TooManyClosings


@contextmanager
def one_snapshot() -> Iterator[None]:
    """A transaction that sees one state of the database throughout, so that annex, lines and cut-off agree."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def _existing(tenant: Tenant, period: periods.Month) -> Invoice | None:
    return Invoice.objects.filter(tenant=tenant, period__month=period.first_day).first()


def _draft(tenant: Tenant, period: periods.Month, *, early: bool, now: datetime) -> Invoice:
    _refuse_unfinished(period, early=early, now=now)
    invoice = _new_invoice(tenant, period, now)
    if not annex.cover_due_usage(invoice, invoice.usage_until):
        raise NothingToInvoice(f"{tenant.slug} has no usage left to invoice up to the end of {period}.")
    lines = _rated(invoice, period)
    _refuse_open_months(invoice, lines)
    assembly.assemble(invoice, lines)
    return invoice


def _refuse_unfinished(period: periods.Month, *, early: bool, now: datetime) -> None:
    if period.end > now and not (early and period.start < now):
        raise MonthIsNotOver(
            f"{period} ends at {period.end:%Y-%m-%d %H:%M} UTC in {period.time_zone}. Wait"
            + (", or ask for an early closing." if period.start < now else ".")
        )
    unfolded = Batch.objects.filter(folded_at=None, held=False).count()
    if unfolded:
        raise UsageIsNotFolded(
            f"Shipped batches that are not in the buckets yet: {unfolded}. The worker folds them in seconds: try again."
        )


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
        currency=tenant.currency,
        net=0,
        tax_rate_percent=tenant.tax_rate_percent,
        tax_note=tenant.tax_note,
        tax=0,
        gross=0,
        created_at=now,
    )


def _rated(invoice: Invoice, period: periods.Month) -> list[RatedLine]:
    @cache
    def month_of(start: datetime) -> date:
        return periods.month_at(start, period.time_zone).first_day

    rating = rate(annex.covered_usage(invoice), tariff_of(invoice.tenant_id), month_of)
    if rating.unpriced:
        named = "; ".join(str(usage) for usage in rating.unpriced[:UNPRICED_NAMED_MAX])
        more = len(rating.unpriced) - UNPRICED_NAMED_MAX
        raise UsageIsNotPriced(
            f"There is usage without a price: {named}{f'; and {more} more' if more > 0 else ''}. "
            "Publish prices, or give the tenant a plan, that begin before it."
        )
    return rating.lines


def _refuse_open_months(invoice: Invoice, lines: list[RatedLine]) -> None:
    """Usage of an earlier month is a correction only where that month had its own invoice."""
    closed = set(Period.objects.filter(tenant=invoice.tenant).values_list("month", flat=True))
    still_open = {line.month for line in lines} - closed
    if still_open:
        raise EarlierMonthIsOpen(
            f"{invoice.tenant.slug} has usage of {min(still_open):%Y-%m}, which was never closed. Close it first."
        )


def _constraint(error: IntegrityError) -> str | None:
    diagnosis = getattr(error.__cause__, "diag", None)
    return getattr(diagnosis, "constraint_name", None)
