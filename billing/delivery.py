"""Brings each final invoice to its tenant, once, by e-mail with its PDF and XML.

Where a crash makes `outbox` send one twice, both copies carry one Message-ID, by which mail programs know them for one.
"""

from datetime import datetime

from django.utils import timezone

from billing import outbox
from billing.documents.letter import letter
from billing.models import Delivery


def deliver_pending(now: datetime | None = None) -> int:
    """Send the invoices that are due, and return how many were sent."""
    return outbox.send_due(
        Delivery.objects.select_related("invoice__period", "invoice__corrects"),
        lambda delivery: letter(delivery.invoice, delivery.recipient),
        now or timezone.now(),
    )
