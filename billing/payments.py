"""The one writer of payments: money that came in for an invoice is recorded by hand, and booked as it is recorded."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from billing import ledger
from billing.balances import open_amount
from billing.errors import (
    AmountCannotBePaid,
    DraftIsNotPaid,
    NotReceivedYet,
    PaidTooMuch,
    PaymentInAnotherCurrency,
    PaymentIsReversed,
    PaymentTwice,
    ReasonIsMissing,
)
from billing.models import Invoice, Payment
from money.amount import Money

EARLIEST_ZONE = timedelta(hours=14)  # Nowhere on earth is it later than in UTC+14.


@transaction.atomic
def record(payment: Payment) -> Payment:
    """Keep a payment, which from now on never changes, and book it. Raises what `refuse` does, having kept nothing."""
    refuse(payment)
    payment.recorded_at = timezone.now()
    payment.save(force_insert=True)
    ledger.book_payment(payment)
    return payment


def refuse(payment: Payment) -> None:
    """Raise a `PaymentRefused` where the payment cannot be recorded.

    Inside a transaction only: the invoice stays locked to its end, so that no other payment comes in between.
    """
    invoice = Invoice.objects.select_for_update(of=["self"]).get(pk=payment.invoice_id)
    if invoice.status == Invoice.Status.DRAFT:
        raise DraftIsNotPaid
    if payment.currency != invoice.currency:
        raise PaymentInAnotherCurrency(f"{invoice.number} is in {invoice.currency}, and not in {payment.currency}.")
    if payment.received_on > (timezone.now() + EARLIEST_ZONE).date():
        raise NotReceivedYet
    if invoice.payments.filter(reference=payment.reference, reversed_at=None).exists():
        raise PaymentTwice(
            f"{invoice.number} has a payment by the reference {payment.reference} already. "
            "Where this is another one, give it a reference of its own."
        )
    _refuse_amount(Money.of(payment.amount, invoice.currency), invoice)


def _refuse_amount(amount: Money, invoice: Invoice) -> None:
    if amount <= Money.zero(invoice.currency) or amount != amount.rounded():
        raise AmountCannotBePaid(f"{amount} cannot be paid. Give more than zero, with the decimals of the currency.")
    still_open = open_amount(invoice)
    if amount > still_open:
        raise PaidTooMuch(f"{still_open} of {invoice.number} is open, and {amount} is more. Record that much at most.")


@transaction.atomic
def reverse(payment_id: int, reason: str, by: User, *, now: datetime | None = None) -> Payment:
    """Book the counter-entry of a payment that did not hold: a returned debit, or a mistake. Both stay on record."""
    now = now or timezone.now()
    payment = Payment.objects.select_for_update(of=["self"]).select_related("invoice__period").get(pk=payment_id)
    if payment.reversed_at is not None:
        raise PaymentIsReversed
    if not reason.strip():
        raise ReasonIsMissing
    payment.reversed_at, payment.reversed_by, payment.reversal_reason = now, by, reason.strip()
    payment.save(update_fields=["reversed_at", "reversed_by", "reversal_reason"])
    ledger.book_reversal(payment, now.astimezone(ZoneInfo(payment.invoice.period.time_zone)).date())
    return payment
