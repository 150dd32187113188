"""The one writer of credit notes: what takes back a part of a final invoice, or all that is left of it.

A note is made, numbered, frozen and booked in one transaction that holds its invoice, so that two notes cannot take the
same amount back. Postgres refuses one that takes more, whoever writes it.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from billing.credits import LineLeft, TaxKey, TaxLeft, net_by_tax
from billing.errors import (
    CreditOverInvoice,
    CreditOverLine,
    CreditTwice,
    CreditWithoutReason,
    NotAnInvoice,
    NothingLeftToCredit,
)
from billing.finalising import finalise_credit_note
from billing.models import Invoice, InvoiceLine, InvoiceTax
from money.amount import Money

COPIED = ("tenant_id", "period_id", "usage_until", "seller", "buyer", "language", "currency")
COPIED_OF_A_LINE = (
    "month", "is_correction", "project_id", "project", "offering", "grade", "service_tier", "tax_category",
    "tax_rate_percent", "service_start", "service_end",
)  # fmt: skip
REASON_CHARACTERS_MAX = 300


def give(
    invoice_id: int, amounts: Mapping[int, Decimal] | None, reason: str, *, now: datetime | None = None
) -> Invoice:
    """A final credit note over the net `amounts` of lines, by their positions; None takes back all that is left.

    An amount has the sign of its line. Raises one of `CreditRefused`, having changed nothing.
    """
    now = now or timezone.now()
    with transaction.atomic():
        locked = Invoice.objects.select_for_update(of=["self"]).select_related("period", "tenant")
        invoice = locked.get(pk=invoice_id)
        _refuse(invoice, reason)
        left = lines_left(invoice)
        taken = _taken(invoice, left, amounts)
        taxes = {key: _tax_left(invoice, key).on(net) for key, net in net_by_tax(taken).items()}
        note = _note(invoice, taken, taxes, reason.strip(), now)
        finalise_credit_note(note, now=now)
    return note


def lines_left(invoice: Invoice) -> list[LineLeft]:
    """The lines of an invoice, less what credit notes took back of each."""
    credited = InvoiceLine.objects.filter(corrects__invoice=invoice).values_list("corrects__position")
    given = {position: sums for position, *sums in credited.annotate(Sum("amount"), Sum("exact")).order_by()}
    nothing = [Decimal(0), Decimal(0)]
    return [_left(line, invoice.currency, *given.get(line.position, nothing)) for line in invoice.lines.all()]


def _left(line: InvoiceLine, currency: str, amount: Decimal, exact: Decimal) -> LineLeft:
    rest = Money.of(line.amount - amount, currency)
    return LineLeft(
        position=line.position,
        tax=(line.tax_category, line.tax_rate_percent),
        amount=rest,
        exact=Money.of(line.exact - exact, currency),
    )


def _refuse(invoice: Invoice, reason: str) -> None:
    if invoice.status != Invoice.Status.FINAL or invoice.kind != Invoice.Kind.INVOICE:
        raise NotAnInvoice
    if not reason.strip() or len(reason.strip()) > REASON_CHARACTERS_MAX:
        raise CreditWithoutReason(f"Say why the credit note is given, in {REASON_CHARACTERS_MAX} characters at most.")


def _taken(invoice: Invoice, left: list[LineLeft], amounts: Mapping[int, Decimal] | None) -> list[LineLeft]:
    if amounts is None:
        taken = [line for line in left if line.amount]
        if not taken:
            raise NothingLeftToCredit(f"Nothing of {invoice.number} is left to take back.")
        return taken
    unknown = set(amounts) - {line.position for line in left}
    if unknown or not amounts:
        named = ", ".join(map(str, sorted(unknown))) or "no line"
        raise CreditOverLine(f"{invoice.number} has lines 1 to {len(left)}, and {named} was named.")
    by_position = {position: Money.of(amount, invoice.currency) for position, amount in amounts.items()}
    return [line.taken(by_position[line.position]) for line in left if line.position in by_position]


def _tax_left(invoice: Invoice, key: TaxKey) -> TaxLeft:
    category, rate = key
    of_key = InvoiceTax.objects.filter(category=category, rate_percent=rate)
    asked = of_key.get(invoice=invoice)
    given = of_key.filter(invoice__corrects=invoice).aggregate(net=Sum("net"), tax=Sum("tax"))
    return TaxLeft(
        key=key,
        net=Money.of(asked.net - (given["net"] or 0), invoice.currency),
        tax=Money.of(asked.tax - (given["tax"] or 0), invoice.currency),
    )


def _note(
    invoice: Invoice, taken: list[LineLeft], taxes: Mapping[TaxKey, Money], reason: str, now: datetime
) -> Invoice:
    nothing = Money.zero(invoice.currency)
    net, tax = sum((line.amount for line in taken), nothing), sum(taxes.values(), nothing)
    _refuse_sum(invoice, net + tax, reason)
    note = Invoice.objects.create(
        kind=Invoice.Kind.CREDIT_NOTE,
        corrects=invoice,
        reason=reason,
        net=net.decimal,
        tax=tax.decimal,
        gross=(net + tax).decimal,
        created_at=now,
        **{name: getattr(invoice, name) for name in COPIED},
    )
    originals = {line.position: line for line in invoice.lines.all()}
    InvoiceLine.objects.bulk_create(
        _line(note, position, originals[line.position], line) for position, line in enumerate(taken, start=1)
    )
    reasons = {(row.category, row.rate_percent): row.reason for row in invoice.taxes.all()}
    InvoiceTax.objects.bulk_create(
        _tax(note, key, net_of.decimal, taxes[key].decimal, reasons[key]) for key, net_of in net_by_tax(taken).items()
    )
    return note


def _refuse_sum(invoice: Invoice, gross: Money, reason: str) -> None:
    given = Invoice.objects.filter(corrects=invoice)
    so_far = given.aggregate(Sum("gross"))["gross__sum"] or 0
    left = Money.of(invoice.gross - so_far, invoice.currency)
    if gross.pico <= 0 or gross > left:
        raise CreditOverInvoice(f"{left} of {invoice.number} is left, and the lines come to {gross} with tax.")
    if given.filter(gross=gross.decimal, reason=reason).exists():
        raise CreditTwice(
            f"{invoice.number} has a credit note over {gross} for the reason {reason!r}. Where this is another one, "
            "let its reason say so."
        )


def _line(note: Invoice, position: int, original: InvoiceLine, taken: LineLeft) -> InvoiceLine:
    """The amount is given, not a product: so the price is all of it, and what is negative is the quantity."""
    return InvoiceLine(
        kind=InvoiceLine.Kind.CREDIT,
        invoice=note,
        corrects=original,
        position=position,
        description=f"Line {original.position} of {note.corrects}: {original.description}",
        quantity=1 if taken.amount.pico > 0 else -1,
        unit_amount=abs(taken.amount.decimal),
        per=1,
        exact=taken.exact.decimal,
        amount=taken.amount.decimal,
        **{name: getattr(original, name) for name in COPIED_OF_A_LINE},
    )


def _tax(note: Invoice, key: TaxKey, net: Decimal, tax: Decimal, reason: str) -> InvoiceTax:
    return InvoiceTax(invoice=note, category=key[0], rate_percent=key[1], net=net, tax=tax, reason=reason)
