"""An alert for each backfill that is left open: its usage is on no invoice, and its months cannot be archived."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from metering import alerts
from metering.models import Alert, Backfill
from tenants.models import Tenant

LEFT_OPEN = "backfill_left_open"


def check_open(now: datetime | None = None) -> int:
    """Alert for each backfill that has been open for longer than the setting says; close what is over.

    Return how many there are.
    """
    before = (now or timezone.now()) - timedelta(days=settings.TOKENWORKS_BACKFILL_OPEN_DAYS_MAX)
    found = list(Backfill.objects.filter(state=Backfill.State.OPEN, created_at__lt=before).order_by("pk"))
    slugs = dict(Tenant.objects.filter(pk__in={each.tenant_id for each in found}).values_list("pk", "slug"))
    for backfill in found:
        _tell(backfill, slugs)
    told = {_subject(backfill, slugs) for backfill in found}
    for subject in Alert.objects.filter(kind=LEFT_OPEN, resolved_at=None).values_list("subject", flat=True):
        if subject not in told:
            alerts.resolve(LEFT_OPEN, subject)
    return len(found)


def _tell(backfill: Backfill, slugs: Mapping[int, str]) -> None:
    since = f"{backfill.created_at:%Y-%m-%d %H:%M:%S} UTC"
    message = (
        f"This backfill has been open since {since} and holds {backfill.events:,} events back: they are in no total and"
        " on no invoice, and their months are not archived. Ask the tenant whether it is whole, then commit or revert"
        " it on the page of backfills."
    )
    alerts.raise_alert(
        LEFT_OPEN,
        _subject(backfill, slugs),
        message,
        events=backfill.events,
        open_since=backfill.created_at.isoformat(),
    )


def _subject(backfill: Backfill, slugs: Mapping[int, str]) -> str:
    """Names are a tenant's own, so the tenant comes first: by its slug, which never changes."""
    return f"{slugs.get(backfill.tenant_id, backfill.tenant_id)}/{backfill.name}"
