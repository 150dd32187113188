"""Sends what lies in the outbox: each final invoice, once, by e-mail with its PDF.

A delivery's row is locked while it is sent, and marked in the same transaction. Only a crash between the mail
server's yes and our commit can send a mail twice; both copies then carry one Message-ID, by which mail programs
know them for one.
"""

import logging
from datetime import datetime, timedelta
from email.utils import parseaddr
from itertools import takewhile

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.utils import timezone

from billing.documents import figures
from billing.documents.issue import pdf_of
from billing.models import Delivery, Invoice

log = logging.getLogger(__name__)

BATCH_MAX = 100
FIRST_DELAY = timedelta(minutes=1)
DELAY_MAX = timedelta(hours=6)
ERROR_CHARACTERS_MAX = 500

BODY = """\
Hello,

please find attached invoice {number} over {gross} {currency} for {month},
due on {due_on}.

Questions are answered at {email}.

{seller}
"""


def deliver_pending(now: datetime | None = None) -> int:
    """Send what is due, BATCH_MAX at most, and return how many were sent. A failing one waits, longer each time."""
    now = now or timezone.now()
    outcomes = takewhile(lambda outcome: outcome is not None, (_deliver_next(now) for _ in range(BATCH_MAX)))
    return sum(outcome is True for outcome in outcomes)


def _deliver_next(now: datetime) -> bool | None:
    """Whether the next one that is due was sent; None where nothing is due."""
    with transaction.atomic():
        due = Delivery.objects.filter(sent_at=None, next_attempt_at__lte=now).order_by("next_attempt_at", "id")
        delivery = due.select_for_update(skip_locked=True, of=["self"]).select_related("invoice__period").first()
        if delivery is None:
            return None
        try:
            with transaction.atomic():
                message(delivery.invoice, delivery.recipient).send()
        except Exception as failure:  # Whatever it is, it concerns this delivery, and others must go on.
            _postpone(delivery, failure, now)
            return False
        delivery.sent_at, delivery.last_error = now, ""
        delivery.save(update_fields=["sent_at", "last_error"])
        return True


def message(invoice: Invoice, recipient: str) -> EmailMessage:
    """The mail that brings an invoice."""
    seller = invoice.seller
    number = str(invoice.number)
    words = {
        "number": number,
        "gross": figures.amount(invoice.gross, invoice.currency),
        "currency": invoice.currency,
        "month": figures.month(invoice.period.month),
        "due_on": figures.day(invoice.due_on) if invoice.due_on else "",
        "email": seller["email"],
        "seller": seller["legal_name"],
    }
    mail = EmailMessage(
        subject=" ".join(f"Invoice {number} from {seller['legal_name']}".split()),
        body=BODY.format(**words),
        to=[recipient],
        reply_to=[seller["email"]],
        headers={"Message-ID": f"<invoice-{number}@{_domain()}>"},
    )
    mail.attach(f"{number}.pdf", pdf_of(invoice), "application/pdf")
    return mail


def _domain() -> str:
    return parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"


def _postpone(delivery: Delivery, failure: Exception, now: datetime) -> None:
    delay = min(FIRST_DELAY * 2 ** min(delivery.attempts, 10), DELAY_MAX)
    delivery.attempts += 1
    delivery.next_attempt_at = now + delay
    delivery.last_error = f"{type(failure).__name__}: {failure}"[:ERROR_CHARACTERS_MAX]
    delivery.save(update_fields=["attempts", "next_attempt_at", "last_error"])
    log.warning("Invoice %s was not sent, try %s: %s", delivery.invoice, delivery.attempts, delivery.last_error)
