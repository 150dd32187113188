"""Closing a tenant's month: from buckets to one final invoice.

Two transactions. The first reads one snapshot of the database and leaves a whole draft, or nothing. The second is
short: it numbers and freezes. Killed in between, a closing is taken up by asking for it again, which makes the draft
anew and finalises it. Rendering and mailing come after both, from the outbox (`billing.delivery`).

Closings of a tenant take turns (`billing.turns`): of two at once, the second finds the invoice of the first.
"""

from datetime import date, datetime

from django.utils import timezone

from billing.drafting import discard, draft, existing
from billing.errors import NothingToInvoice, UsageIsNotFolded
from billing.finalising import finalise
from billing.models import Invoice
from billing.turns import one_snapshot, turn_of
from metering.models import Batch
from tenants.models import Tenant


def close(tenant: Tenant, month: date, *, early: bool = False, now: datetime | None = None) -> Invoice:
    """The final invoice of a tenant's month, made now where there is none yet.

    `month` is its first day. `early` closes a month that has not ended: what is used later comes on the next invoice.
    Raises one of `ClosingRefused`, having changed nothing. Must not be called inside a transaction.
    """
    now = now or timezone.now()
    with turn_of(tenant):
        return finalise(drafted(tenant, month, early=early, now=now).pk, now=now)


def drafted(tenant: Tenant, month: date, *, early: bool = False, now: datetime) -> Invoice:
    """The draft of a month, made anew and kept; a final invoice is returned as it is. In the tenant's turn only.

    A draft of which nothing is left, because its usage was taken back, is kept no longer.
    """
    try:
        with one_snapshot():
            found = existing(tenant, month)
            if found is None or found.status == Invoice.Status.DRAFT:
                _refuse_unfolded()
            return draft(tenant, month, early=early, now=now)
    except NothingToInvoice:
        with one_snapshot():
            found = existing(tenant, month)
            if found is not None:
                discard(found)
        raise


def _refuse_unfolded() -> None:
    unfolded = Batch.objects.filter(folded_at=None, held=False).count()
    if unfolded:
        raise UsageIsNotFolded(
            f"Shipped batches that are not in the buckets yet: {unfolded}. The worker folds them in seconds: try again."
        )
