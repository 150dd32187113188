"""Mails operators what alerts were opened, once each opening; several at once make one mail.

The alert's own row is the outbox: it is locked while the mail is sent, and marked in the same transaction. Only a crash
between the mail server's yes and our commit can send a mail twice. One that fails is tried again by the next run.
"""

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.utils import timezone

from metering.models import Alert

ALERTS_MAX = 50  # In one mail; the others are in the next.
MESSAGE_CHARACTERS_MAX = 2_000


def send_due() -> int:
    """Mail the open alerts that nobody was told of yet; return how many. One that is over by now is not mailed."""
    if not settings.TOKENWORKS_ALERT_EMAIL:
        return 0
    with transaction.atomic():
        due = Alert.objects.filter(resolved_at=None, mailed_at=None).order_by("first_seen_at", "id")
        alerts = list(due.select_for_update(skip_locked=True)[:ALERTS_MAX])
        if alerts:
            message(alerts).send()
            Alert.objects.filter(id__in=[alert.pk for alert in alerts]).update(mailed_at=timezone.now())
    return len(alerts)


def message(alerts: list[Alert]) -> EmailMessage:
    first = alerts[0]
    more = f" and {len(alerts) - 1} more" if len(alerts) > 1 else ""
    page = f"{settings.TOKENWORKS_PUBLIC_URL}/admin/metering/alert/"
    subject = " ".join(f"Tokenworks alert: {first.kind}{more} ({first.subject})".split())[:200]
    body = "\n\n".join([*map(_paragraph, alerts), f"What to do is in docs/operations.md, and all alerts are at {page}"])
    return EmailMessage(subject, f"{body}\n", to=settings.TOKENWORKS_ALERT_EMAIL.replace(" ", "").split(","))


def _paragraph(alert: Alert) -> str:
    since = f"{alert.first_seen_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"{alert.kind}: {alert.subject}\nsince {since}\n{alert.message[:MESSAGE_CHARACTERS_MAX]}"
