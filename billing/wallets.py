"""The one writer of wallets: credits bought and granted, and what is drawn from them. Each is booked as it is written.

Draws of a tenant take turns on its row, so that what one reads is not drawn by another meanwhile. Postgres refuses
besides to draw a credit below zero.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import partial

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from billing import budgets, ledger
from billing.errors import (
    CreditCannotBePaid,
    CreditHoldsLess,
    ExpiryIsUnclear,
    GrantIsNotRefunded,
    OrderIsNotOpen,
    RefundWithoutReason,
    WalletHasChanged,
)
from billing.models import Invoice, InvoiceLine, TopUpOrder, WalletCredit, WalletDraw
from billing.periods import QUARTER_HOUR_S
from billing.wallet_draws import Draw, draws, netted, with_tax
from billing.wallet_reading import credits_of, dues_of, given_by_grants, with_left
from billing.wording import grant_description
from money.amount import Money
from tenants.models import Tenant

GrantKey = tuple[int, str, date]
"""Credit, offering and month: a grant has a line for each."""


@transaction.atomic
def pay_in(credit: WalletCredit, order: TopUpOrder | None = None, now: datetime | None = None) -> WalletCredit:
    """Keep a credit, which from now on never changes, and book it where it was bought. It pays `order`, if any.

    Raises a `WalletRefused`, having kept nothing.
    """
    refuse(credit, now or timezone.now())
    credit.save(force_insert=True)
    ledger.book_wallet_credit(credit)
    if order is not None:
        _close_order(order, credit)
    return credit


def refuse(credit: WalletCredit, now: datetime) -> None:
    """Raise a `WalletRefused` where the credit cannot be kept."""
    amount = Money.of(credit.amount, credit.tenant.currency)
    if amount.pico <= 0 or amount != amount.rounded():
        raise CreditCannotBePaid(f"{amount} is no credit. Give more than zero, with the decimals of the currency.")
    expires_at = credit.expires_at
    if expires_at is not None and (expires_at <= now or expires_at.timestamp() % QUARTER_HOUR_S):
        raise ExpiryIsUnclear


@transaction.atomic
def refund(credit_id: int, amount: Money, reason: str, by: User) -> WalletDraw:
    """Pay back what is left of a bought credit, or a part of it. Raises a `WalletRefused`, having booked nothing."""
    credit = WalletCredit.objects.select_related("tenant").get(pk=credit_id)
    take_turn(credit.tenant)
    if credit.kind != WalletCredit.Kind.BOUGHT:
        raise GrantIsNotRefunded
    if not reason.strip():
        raise RefundWithoutReason
    if amount.pico <= 0 or amount != amount.rounded():
        raise CreditCannotBePaid(f"{amount} cannot be paid back. Give more than zero, with the currency's decimals.")
    left = left_of(credit)
    if amount > left:
        raise CreditHoldsLess(f"{left} of the credit is left, and {amount} is more. Refund that much at most.")
    return _draw(credit, WalletDraw.Kind.REFUND, amount, reason=reason.strip(), by=by)


def expire(credit: WalletCredit, now: datetime) -> WalletDraw | None:
    """Book what is left of a credit as expired, inside a transaction that took the tenant's turn."""
    left = left_of(credit)
    return _draw(credit, WalletDraw.Kind.EXPIRY, left, now=now) if left else None


def grant_lines(invoice: Invoice, lines: list[InvoiceLine]) -> list[InvoiceLine]:
    """The lines by which granted credit lowers a draft, one to each credit, offering and month. Not saved, not taxed.

    A draft that gives back more than it asks for gives to grants first what they paid, for that was no money.
    """
    dues = dues_of(invoice, lines)
    found = draws(credits_of(invoice.tenant, WalletCredit.Kind.GRANTED), netted(dues))
    if not found and sum(due.amount.pico for due in dues) < 0:
        back = draws(given_by_grants(invoice.tenant), netted([due.negated() for due in dues]))
        found = [draw.negated() for draw in back]
    return _grant_lines(invoice, lines, found)


def prepaid_of(invoice: Invoice) -> Money:
    """How much of the gross amount of a draft its tenant's wallet pays now."""
    return sum((draw.amount for draw in _payments(invoice)), Money.zero(invoice.currency))


def draw_for(invoice: Invoice, now: datetime) -> None:
    """Draw what a draft that becomes final takes from the wallet, and write on it how much of it is prepaid.

    Inside the transaction that numbers it, before its number. Raises `WalletHasChanged` where a grant on its lines is
    no longer there.
    """
    take_turn(invoice.tenant)
    granted: Counter[int] = Counter()
    for line in invoice.lines.filter(kind=InvoiceLine.Kind.GRANT):
        granted[line.wallet_credit_id or 0] -= Money.of(line.amount, invoice.currency).pico
    _refuse_changed(invoice, granted)
    bought: Counter[int] = Counter()
    for draw in _payments(invoice):
        bought[draw.credit_id] += draw.amount.pico
    WalletDraw.objects.bulk_create(_uses(invoice, {**granted, **bought}, now))
    invoice.prepaid = Money(bought.total(), invoice.currency).decimal
    Invoice.objects.filter(pk=invoice.pk).update(prepaid=invoice.prepaid)
    if invoice.tenant.prepaid:
        transaction.on_commit(partial(budgets.count_wallet, invoice.tenant_id, now))


def take_turn(tenant: Tenant) -> None:
    """Wait until nobody else draws from the tenant's wallet, and keep others waiting until the transaction ends."""
    Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)


def left_of(credit: WalletCredit) -> Money:
    return Money.of(with_left(WalletCredit.objects.all()).get(pk=credit.pk).left, credit.tenant.currency)


def _draw(
    credit: WalletCredit, kind: WalletDraw.Kind, amount: Money, *, reason: str = "", by: User | None = None,
    now: datetime | None = None,
) -> WalletDraw:  # fmt: skip
    """Take so much of a credit without an invoice, and book it where the credit was bought."""
    draw = WalletDraw.objects.create(
        tenant=credit.tenant,
        credit=credit,
        kind=kind,
        amount=amount.decimal,
        reason=reason,
        recorded_by=by,
        created_at=now or timezone.now(),
    )
    ledger.book_wallet_draw(draw)
    return draw


def _payments(invoice: Invoice) -> list[Draw]:
    """Which bought credits pay how much of a draft's gross amount."""
    bought = credits_of(invoice.tenant, WalletCredit.Kind.BOUGHT)
    if not bought:
        return []
    dues = netted(dues_of(invoice, list(invoice.lines.all())))
    return draws(bought, with_tax(dues, Money.of(invoice.gross, invoice.currency)))


def _grant_lines(invoice: Invoice, lines: list[InvoiceLine], found: Iterable[Draw]) -> list[InvoiceLine]:
    sums: Counter[GrantKey] = Counter()
    for draw in found:
        sums[draw.credit_id, draw.due.offering, lines[draw.due.place].month] -= draw.amount.pico
    notes = dict(WalletCredit.objects.filter(pk__in={key[0] for key in sums}).values_list("pk", "note"))
    last = max((line.position for line in lines), default=0)
    return [
        _grant_line(invoice, last + place, key, Money(pico, invoice.currency).decimal, notes[key[0]])
        for place, (key, pico) in enumerate(sums.items(), start=1)
    ]


def _grant_line(invoice: Invoice, position: int, key: GrantKey, amount: Decimal, note: str) -> InvoiceLine:
    """A line without its tax: whoever taxes the others taxes it with them, by its month."""
    credit_id, offering, month = key
    return InvoiceLine(
        invoice=invoice,
        position=position,
        kind=InvoiceLine.Kind.GRANT,
        description=grant_description(note, offering),
        month=month,
        is_correction=month != invoice.period.month,
        offering=offering,
        quantity=1,
        unit_amount=amount,
        per=1,
        exact=amount,
        amount=amount,
        service_start=invoice.period.start,
        service_end=invoice.period.end,
        wallet_credit_id=credit_id,
    )


def _refuse_changed(invoice: Invoice, granted: Mapping[int, int]) -> None:
    left = {credit.id: credit.left.pico for credit in credits_of(invoice.tenant, WalletCredit.Kind.GRANTED)}
    if any(pico > left.get(credit_id, 0) for credit_id, pico in granted.items()):
        raise WalletHasChanged


def _uses(invoice: Invoice, picos: Mapping[int, int], now: datetime) -> Iterator[WalletDraw]:
    for credit_id, pico in picos.items():
        amount = Money(pico, invoice.currency).decimal
        if pico:
            yield WalletDraw(
                tenant_id=invoice.tenant_id, credit_id=credit_id, kind=WalletDraw.Kind.USE,
                amount=amount, invoice=invoice, created_at=now,
            )  # fmt: skip


def _close_order(order: TopUpOrder, credit: WalletCredit) -> None:
    """The update counts rows, so that an order is paid once however many payments name it at once."""
    is_open = TopUpOrder.objects.filter(pk=order.pk, tenant=credit.tenant, status=TopUpOrder.Status.OPEN)
    if not is_open.update(status=TopUpOrder.Status.PAID, credit=credit):
        raise OrderIsNotOpen
