"""The one writer of settlements: what of an invoice is written off, or paid back where the tenant is owed."""

from django.db import transaction
from django.utils import timezone

from billing import ledger
from billing.balances import open_amount
from billing.errors import (
    SettledTooEarly,
    SettledTooMuch,
    SettledTwice,
    SettlementCannotBePaid,
    SettlementOfADraft,
)
from billing.models import Invoice, Settlement
from billing.payments import EARLIEST_ZONE
from money.amount import Money


@transaction.atomic
def record(settlement: Settlement) -> Settlement:
    """Keep a settlement, which never changes, and book it. Raises what `refuse` does, having kept nothing."""
    refuse(settlement)
    settlement.recorded_at = timezone.now()
    settlement.save(force_insert=True)
    ledger.book_settlement(settlement)
    return settlement


def refuse(settlement: Settlement) -> None:
    """Raise a `SettlementRefused` where it cannot be recorded.

    Inside a transaction only: the invoice stays locked to its end, so that no payment comes in between.
    """
    invoice = Invoice.objects.select_for_update(of=["self"]).get(pk=settlement.invoice_id)
    if invoice.status == Invoice.Status.DRAFT or invoice.kind != Invoice.Kind.INVOICE:
        raise SettlementOfADraft
    if settlement.occurred_on > (timezone.now() + EARLIEST_ZONE).date():
        raise SettledTooEarly
    if invoice.settlements.filter(kind=settlement.kind, reference=settlement.reference).exists():
        raise SettledTwice
    _refuse_amount(settlement, invoice)


def _refuse_amount(settlement: Settlement, invoice: Invoice) -> None:
    amount = Money.of(settlement.amount, invoice.currency)
    if settlement.currency != invoice.currency or amount.pico <= 0 or amount != amount.rounded():
        raise SettlementCannotBePaid(
            f"{settlement.amount} {settlement.currency} cannot be paid. "
            f"Give more than zero {invoice.currency}, with its decimals."
        )
    is_loss = settlement.kind == Settlement.Kind.WRITE_OFF
    owed = open_amount(invoice) if is_loss else -open_amount(invoice)
    if amount > owed:
        whose = "is open" if is_loss else "is owed to the tenant"
        raise SettledTooMuch(
            f"{max(owed, Money.zero(owed.currency))} of {invoice.number} {whose}, and {amount} is more."
        )
