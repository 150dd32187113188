"""The ledger's one writer: books each deed once, in the transaction of the deed itself.

Postgres refuses an entry that does not balance when it commits, and any change to one that is booked. A deed is known
by its key, which names the cause: booking it again changes nothing, and booking another one by its key is refused.
"""

from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone

from billing.bookings import (
    Legs,
    countered,
    credit_given,
    invoice_finalised,
    paid_back,
    payment_received,
    wallet_expired,
    wallet_paid_in,
    wallet_refunded,
    wallet_used,
    written_off,
)
from billing.errors import BookedOtherwise, InvoiceIsADraft
from billing.models import Entry, Invoice, Payment, Posting, Settlement, WalletCredit, WalletDraw
from money.amount import Money

_CLAIM_SQL = """
INSERT INTO billing_entry (tenant_id, kind, key, invoice_id, occurred_on, booked_at, memo, legs)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (key) DO NOTHING
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Deed:
    """What is to be booked: whose, of which kind, by which key, when it happened, and its legs."""

    tenant_id: int
    kind: Entry.Kind
    key: str
    occurred_on: date
    memo: str
    legs: Legs
    invoice_id: int | None = None


def book_invoice(invoice: Invoice) -> bool:
    """Book a final invoice; whether it was not booked before. Raises `InvoiceIsADraft` where it is not final."""
    if invoice.issued_on is None:
        raise InvoiceIsADraft("A draft is not booked. Close its month again: the closing is taken up where it stopped.")
    net, tax = (Money.of(amount, invoice.currency) for amount in (invoice.net, invoice.tax))
    legs = invoice_finalised(exact_sum(invoice), net, tax)
    key, memo = f"invoice:{invoice.pk}", invoice.number or ""
    return _book(Deed(invoice.tenant_id, Entry.Kind.INVOICE, key, invoice.issued_on, memo, legs, invoice.pk))


def book_payment(payment: Payment) -> bool:
    """Book money that came in for an invoice."""
    legs = payment_received(Money.of(payment.amount, payment.currency))
    return _book(_of_payment(payment, Entry.Kind.PAYMENT, "", payment.received_on, payment.reference, legs))


def book_reversal(payment: Payment, occurred_on: date) -> bool:
    """Book the counter-entry of a payment that is reversed."""
    legs = countered(payment_received(Money.of(payment.amount, payment.currency)))
    kind, memo = Entry.Kind.PAYMENT_REVERSAL, payment.reversal_reason
    return _book(_of_payment(payment, kind, ":reversed", occurred_on, memo, legs))


def book_wallet_credit(credit: WalletCredit) -> bool:
    """Book what was paid into a wallet, on the tenant's day and in its currency. A grant is not owed, nor booked."""
    if credit.kind != WalletCredit.Kind.BOUGHT:
        return False
    tenant = credit.tenant
    occurred_on = credit.created_at.astimezone(ZoneInfo(tenant.time_zone)).date()
    legs = wallet_paid_in(Money.of(credit.amount, tenant.currency))
    key = f"wallet_credit:{credit.pk}"
    return _book(Deed(tenant.pk, Entry.Kind.WALLET_CREDIT, key, occurred_on, credit.note, legs))


def book_wallet_use(invoice: Invoice) -> bool:
    """Book that a final invoice is paid from the wallet, as far as it is; whether there was something new to book."""
    if invoice.issued_on is None:
        raise InvoiceIsADraft("A draft is not paid from a wallet. Close its month.")
    if not invoice.prepaid:
        return False
    legs = wallet_used(Money.of(invoice.prepaid, invoice.currency))
    key, memo = f"wallet_use:{invoice.pk}", invoice.number or ""
    return _book(Deed(invoice.tenant_id, Entry.Kind.WALLET_USE, key, invoice.issued_on, memo, legs, invoice.pk))


def book_wallet_draw(draw: WalletDraw) -> bool:
    """Book what of a bought credit expired or was refunded, on the tenant's day. Grants are not in the books."""
    if draw.credit.kind != WalletCredit.Kind.BOUGHT:
        return False
    tenant = draw.tenant
    is_refund = draw.kind == WalletDraw.Kind.REFUND
    kind = Entry.Kind.WALLET_REFUND if is_refund else Entry.Kind.WALLET_EXPIRY
    legs = (wallet_refunded if is_refund else wallet_expired)(Money.of(draw.amount, tenant.currency))
    occurred_on = draw.created_at.astimezone(ZoneInfo(tenant.time_zone)).date()
    return _book(Deed(tenant.pk, kind, f"{kind}:{draw.pk}", occurred_on, draw.reason or draw.credit.note, legs))


def book_credit_note(note: Invoice) -> bool:
    """Book a final credit note: revenue and tax go back, and the invoice that it corrects is open by so much less."""
    if note.issued_on is None:
        raise InvoiceIsADraft("A draft of a credit note is not booked.")
    net, tax = (Money.of(amount, note.currency) for amount in (note.net, note.tax))
    legs = credit_given(exact_sum(note), net, tax)
    key, memo = f"credit_note:{note.pk}", note.number or ""
    return _book(Deed(note.tenant_id, Entry.Kind.CREDIT_NOTE, key, note.issued_on, memo, legs, note.corrects_id))


def book_settlement(settlement: Settlement) -> bool:
    """Book what was written off of an invoice, or paid back of it."""
    is_loss = settlement.kind == Settlement.Kind.WRITE_OFF
    kind = Entry.Kind.WRITE_OFF if is_loss else Entry.Kind.REFUND
    legs = (written_off if is_loss else paid_back)(Money.of(settlement.amount, settlement.currency))
    invoice, key = settlement.invoice, f"{kind}:{settlement.pk}"
    return _book(
        Deed(invoice.tenant_id, kind, key, settlement.occurred_on, settlement.reference, legs, settlement.invoice_id)
    )


def exact_sum(invoice: Invoice) -> Money:
    """What the lines of an invoice come to before each is rounded."""
    return Money.of(invoice.lines.aggregate(total=Sum("exact"))["total"] or 0, invoice.currency)


def _of_payment(payment: Payment, kind: Entry.Kind, suffix: str, occurred_on: date, memo: str, legs: Legs) -> Deed:
    tenant_id, key = payment.invoice.tenant_id, f"payment:{payment.pk}{suffix}"
    return Deed(tenant_id, kind, key, occurred_on, memo, legs, payment.invoice_id)


@transaction.atomic
def _book(deed: Deed) -> bool:
    """Write the entry, or find it written; whether it was written now."""
    named = (deed.tenant_id, deed.kind.value, deed.key, deed.invoice_id)
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM_SQL, [*named, deed.occurred_on, timezone.now(), deed.memo, len(deed.legs)])
        claimed = cursor.fetchone()
    if claimed is None:
        _refuse_another(deed)
        return False
    Posting.objects.bulk_create(
        Posting(
            entry_id=claimed[0],
            account=leg.account,
            tenant_id=deed.tenant_id,
            currency=leg.amount.currency,
            amount=leg.amount.decimal,
        )
        for leg in deed.legs
    )
    return True


def _refuse_another(deed: Deed) -> None:
    booked = Posting.objects.filter(entry__key=deed.key, tenant_id=deed.tenant_id)
    found = {
        (account, Money.of(amount, currency))
        for account, amount, currency in booked.values_list("account", "amount", "currency")
    }
    if found != {(leg.account.value, leg.amount) for leg in deed.legs}:
        raise BookedOtherwise(f"{deed.key} is booked already, with other postings. Find out which of the two is right.")
