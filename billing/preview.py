"""What closing a tenant's month would give at this moment, without giving it.

The closing itself is done, in a transaction that is rolled back. So a preview cannot differ from an invoice by being
reckoned otherwise, only by being asked for earlier.
"""

from datetime import date, datetime

from django.db import transaction
from django.utils import timezone

from billing import wallets
from billing.drafting import discard, draft, existing
from billing.errors import EarlierMonthIsOpen, NothingToInvoice
from billing.models import Invoice
from billing.turns import one_snapshot, turn_of
from tenants.models import Tenant

OPEN_MONTHS_MAX = 36


def preview(tenant: Tenant, month: date, *, now: datetime | None = None) -> Invoice:
    """The invoice of a month as it would be now, with its lines and taxes; it is kept nowhere, unless it is final.

    Earlier months that are not closed count as closed now, for they come first. What was shipped and is not in the
    buckets yet is not in it. Raises one of `ClosingRefused`. Must not be called inside a transaction.
    """
    now = now or timezone.now()
    with turn_of(tenant), one_snapshot():
        found = _with_its_parts(_drafted(tenant, month, now))
        transaction.set_rollback(True)
    return found


def _drafted(tenant: Tenant, month: date, now: datetime) -> Invoice:
    waiting = Invoice.objects.filter(tenant=tenant, status=Invoice.Status.DRAFT, period__month__lt=month)
    for earlier in waiting.order_by("period__month").values_list("period__month", flat=True):
        _as_if_closed(tenant, earlier, now)
    for _ in range(OPEN_MONTHS_MAX):
        try:
            return _draft(tenant, month, now)
        except EarlierMonthIsOpen as refusal:
            _as_if_closed(tenant, refusal.open_month, now)
    return _draft(tenant, month, now)


def _draft(tenant: Tenant, month: date, now: datetime) -> Invoice:
    with transaction.atomic():
        return draft(tenant, month, early=True, behind_drafts=True, now=now)


def _as_if_closed(tenant: Tenant, month: date, now: datetime) -> None:
    """Draft a month that comes before: what it covers is no correction then, and what it draws is used."""
    try:
        earlier = _draft(tenant, month, now)
        if earlier.status == Invoice.Status.DRAFT:
            wallets.draw_for(earlier, now)
    except NothingToInvoice:
        emptied = existing(tenant, month)
        if emptied is not None:
            discard(emptied)


def _with_its_parts(invoice: Invoice) -> Invoice:
    found = Invoice.objects.select_related("tenant", "period").prefetch_related("lines", "taxes").get(pk=invoice.pk)
    found.open_amount = None
    return found
