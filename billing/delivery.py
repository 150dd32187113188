"""Brings each final invoice to its tenant, once, by e-mail with its PDF.

Where a crash makes `outbox` send one twice, both copies carry one Message-ID, by which mail programs know them for one.
"""

from datetime import datetime
from email.utils import parseaddr

from django.conf import settings
from django.core.mail import EmailMessage
from django.utils import timezone

from billing import outbox
from billing.documents import figures
from billing.documents.issue import pdf_of
from billing.models import Delivery, Invoice

BODY = """\
Hello,

please find attached invoice {number} over {gross} {currency} for {month},
due on {due_on}.

Questions are answered at {email}.

{seller}
"""


def deliver_pending(now: datetime | None = None) -> int:
    """Send the invoices that are due, and return how many were sent."""
    return outbox.send_due(
        Delivery.objects.select_related("invoice__period"),
        lambda delivery: message(delivery.invoice, delivery.recipient),
        now or timezone.now(),
    )


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
