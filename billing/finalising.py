"""The last step of a closing or a credit note: a draft gets its number, and nothing changes it any more."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction

from billing import ledger, wallets
from billing.models import Delivery, Invoice, Period
from billing.numbering import next_number

CREDIT_NOTES = "-CN"  # Stands behind the prefix of invoices in the numbers of credit notes.


def finalise(invoice_id: int, *, now: datetime) -> Invoice:
    """Number, freeze and book a draft, and put it into the outbox; a final invoice is returned as it is.

    The number comes last but for the books, so that its counter is locked for a moment only. The date of issue is the
    tenant's.
    """
    with transaction.atomic():
        invoice = Invoice.objects.select_for_update(of=["self"]).select_related("period", "tenant").get(pk=invoice_id)
        if invoice.status == Invoice.Status.DRAFT:
            Period.objects.filter(pk=invoice.period_id).update(status=Period.Status.CLOSED)
            _queue(invoice, now)
            wallets.draw_for(invoice, now)
            _number(invoice, invoice.seller["invoice_prefix"], invoice.seller["payment_terms_days"], now)
            ledger.book_invoice(invoice)
            ledger.book_wallet_use(invoice)
    return invoice


def finalise_credit_note(note: Invoice, *, now: datetime) -> None:
    """Number, freeze and book a draft of a credit note, and put it into the outbox. In its one transaction."""
    _queue(note, now)
    _number(note, note.seller["invoice_prefix"] + CREDIT_NOTES, 0, now)
    ledger.book_credit_note(note)


def _queue(invoice: Invoice, now: datetime) -> None:
    if invoice.buyer["email"]:
        Delivery.objects.create(
            invoice=invoice,
            channel=Delivery.Channel.EMAIL,
            recipient=invoice.buyer["email"],
            created_at=now,
            next_attempt_at=now,
        )


def _number(invoice: Invoice, series: str, due_after_days: int, now: datetime) -> None:
    issued_on = now.astimezone(ZoneInfo(invoice.period.time_zone)).date()
    invoice.issued_on = issued_on
    invoice.due_on = issued_on + timedelta(days=due_after_days)
    invoice.finalised_at = now
    invoice.status = Invoice.Status.FINAL
    invoice.number = next_number(series, issued_on)
    invoice.save(update_fields=["issued_on", "due_on", "finalised_at", "status", "number"])
