"""Books what expired unused. A credit pays for what was used before it expires, so it waits until that is invoiced."""

import logging
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

from billing import wallets
from billing.models import Invoice, Period, WalletCredit
from billing.periods import month_at
from billing.wallet_reading import with_left
from metering.models import Batch

log = logging.getLogger(__name__)

CLOSED_WITHIN = timedelta(days=14)  # A month without usage, which nobody closes, is waited for no longer.
INSTANT = timedelta(microseconds=1)

UNCOVERED_SQL = """
SELECT EXISTS (
    SELECT FROM metering_bucket bucket
      LEFT JOIN (SELECT start, project_id, api_key_id, offering, deployment, grade, service_tier, unit,
                        sum(quantity) AS quantity
                   FROM billing_invoiceusage
                  WHERE tenant_id = %(tenant)s AND start < %(until)s
                  GROUP BY start, project_id, api_key_id, offering, deployment, grade, service_tier, unit) covered
           USING (start, project_id, api_key_id, offering, deployment, grade, service_tier, unit)
     WHERE bucket.tenant_id = %(tenant)s AND bucket.billed AND bucket.start < %(until)s
       AND bucket.quantity <> coalesce(covered.quantity, 0))
"""


def expire_due(now: datetime | None = None) -> int:
    """Expire every credit that is due and holds something; return how many. It may run twice at once."""
    now = now or timezone.now()
    due = WalletCredit.objects.filter(expires_at__lte=now).select_related("tenant").order_by("tenant", "pk")
    expired = sum(_expire(credit, now) for credit in with_left(due) if credit.left > 0)
    if expired:
        log.info("%d wallet credits expired.", expired)
    return expired


@transaction.atomic
def _expire(credit: WalletCredit, now: datetime) -> bool:
    wallets.take_turn(credit.tenant)
    return _is_settled(credit, now) and wallets.expire(credit, now) is not None


def _is_settled(credit: WalletCredit, now: datetime) -> bool:
    """Whether no invoice is to come that the credit pays: all that was used before it expired is invoiced for good."""
    assert credit.expires_at is not None
    tenant = credit.tenant
    if Invoice.objects.filter(tenant=tenant, status=Invoice.Status.DRAFT).exists():
        return False
    if Batch.objects.filter(folded_at=None, held=False).exists():
        return False
    last_month = month_at(credit.expires_at - INSTANT, tenant.time_zone)
    closed = Period.objects.filter(tenant=tenant, month=last_month.first_day, status=Period.Status.CLOSED)
    if now < last_month.end + CLOSED_WITHIN and not closed.exists():
        return False
    with connection.cursor() as cursor:
        cursor.execute(UNCOVERED_SQL, {"tenant": tenant.pk, "until": credit.expires_at})
        [(is_uncovered,)] = cursor.fetchall()
    return not is_uncovered
