"""Many actors meter, correct, close, pay, reverse and fill wallets in any order: after every step the books are right.

Beside the product, a clerk with paper notes down what each tenant was invoiced, paid, and paid into its wallet.
"""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from billing import balances, closing, finalising, ledger_check, payments, publishing
from billing.bookings import Account
from billing.errors import NothingToInvoice, PaidTooMuch, PaymentIsReversed, PaymentRefused
from billing.models import Invoice, InvoiceLine, Payment, PriceBook, Seller, WalletCredit
from billing.wallets import pay_in
from metering.models import Bucket
from money.amount import Money, decimals
from tenants.models import Project
from tests.billing.samples import PRICES, YEAR, add_usage, new_version
from tests.conftest import new_tenant
from tests.metering.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

RECEIVED = date(2026, 11, 20)
TENANTS = st.integers(0, 2)
TOKENS = st.integers(1, 20_000_000)
MINOR = st.integers(1, 3_000)  # Cents, or whole yen.


class Actor:
    """A tenant, with what the clerk noted of it, in 10^-12 of its currency."""

    def __init__(self, book: PriceBook, **fields: object) -> None:
        issued = new_tenant(f"t{uuid4().hex}", currency=book.currency, **fields)
        self.project: Project = issued.key.project
        self.tenant = self.project.tenant
        publishing.agree(self.tenant, book, YEAR)
        self.months = 0  # So many are closed, from January 2026 on.
        self.invoiced = self.paid = self.paid_in = self.prepaid = Money.zero(book.currency)

    def amount(self, minor: int) -> Money:
        return Money.of(Decimal(minor).scaleb(-decimals(self.tenant.currency)), self.tenant.currency)

    def day(self, month: int) -> datetime:
        return datetime(2026 + month // 12, month % 12 + 1, 10, 9, 15, tzinfo=UTC)

    def on(self, *accounts: Account) -> Money:
        found = balances.balances(tenant_id=self.tenant.pk)
        return sum((row.amount for row in found if row.account in accounts), Money.zero(self.tenant.currency))


def outcome(deed: Any, *given: Any, **named: Any) -> Any:
    try:
        return deed(*given, **named)
    except PaymentRefused as refusal:
        return type(refusal)


class Books(RuleBasedStateMachine):
    clerk: User
    invoices: Bundle[Any] = Bundle("invoices")
    kept: Bundle[Any] = Bundle("kept")

    @initialize()
    def open_the_books(self) -> None:
        usd, yen = PriceBook.objects.order_by("-currency")
        self.actors = [
            Actor(usd, tax_rate_percent="19.00", time_zone="Europe/Berlin"),
            Actor(usd),
            Actor(yen, tax_rate_percent="10.00", time_zone="Asia/Tokyo"),
        ]
        self.final: dict[int, dict[str, Any]] = {}

    @rule(who=TENANTS, tokens=TOKENS, unit=st.sampled_from(["output", "input_uncached", "input_cached"]))
    def use(self, who: int, tokens: int, unit: str) -> None:
        actor = self.actors[who]
        add_usage(actor.project, actor.day(actor.months), unit, tokens)

    @rule(who=TENANTS, tokens=TOKENS)
    def use_what_is_recorded_late(self, who: int, tokens: int) -> None:
        actor = self.actors[who]
        if actor.months:
            add_usage(actor.project, actor.day(actor.months - 1), "output", tokens)

    @rule(who=TENANTS)
    def correct_usage_to_nothing(self, who: int) -> None:
        """Of a closed month this is a line below zero, and maybe an invoice that gives back."""
        Bucket.objects.filter(tenant_id=self.actors[who].tenant.pk).update(quantity=0)

    @rule(target=invoices, who=TENANTS, times=st.integers(1, 2))
    def close(self, who: int, times: int) -> Any:
        actor = self.actors[who]
        day = actor.day(actor.months)
        month, now = day.date().replace(day=1), day + timedelta(days=35)
        try:
            closed = at_once(*[lambda: closing.close(actor.tenant, month, now=now)] * times)
        except NothingToInvoice:
            return multiple()
        [pk] = {invoice.pk for invoice in closed if isinstance(invoice, Invoice)}
        invoice = Invoice.objects.get(pk=pk)
        self.final[pk] = self._whole(pk)
        actor.months += 1
        actor.invoiced += Money.of(invoice.gross, invoice.currency)
        actor.prepaid += Money.of(invoice.prepaid, invoice.currency)
        return who, pk

    @rule(invoice=invoices)
    def finalise_again(self, invoice: tuple[int, int]) -> None:
        finalising.finalise(invoice[1], now=datetime.now(UTC))

    @rule(target=kept, invoice=invoices, minor=MINOR, whole=st.booleans(), times=st.integers(1, 2))
    def pay(self, invoice: tuple[int, int], minor: int, whole: bool, times: int) -> Any:
        """A part, or all that is open; once, or as two transfers at the same moment."""
        actor = self.actors[invoice[0]]
        owed = balances.open_amount(Invoice(pk=invoice[1], currency=actor.tenant.currency))
        amount = owed if whole and owed > Money.zero(owed.currency) else actor.amount(minor)
        found = at_once(*[lambda: outcome(payments.record, self._payment(invoice[1], amount))] * times)
        recorded = [payment for payment in found if isinstance(payment, Payment)]
        possible = max(0, owed.pico // amount.pico)
        assert len(recorded) == min(times, possible)
        assert [refusal for refusal in found if refusal not in recorded] == [PaidTooMuch] * (times - len(recorded))
        actor.paid += amount * len(recorded)
        return multiple(*((invoice[0], payment.pk) for payment in recorded))

    @rule(payment=consumes(kept), times=st.integers(1, 2))
    def reverse(self, payment: tuple[int, int], times: int) -> None:
        found = at_once(*[lambda: outcome(payments.reverse, payment[1], "returned", self.clerk)] * times)
        assert found.count(PaymentIsReversed) == times - 1
        self.actors[payment[0]].paid -= Money.of(
            Payment.objects.get(pk=payment[1]).amount, self.actors[payment[0]].tenant.currency
        )

    @rule(who=TENANTS, minor=MINOR)
    def fill_the_wallet(self, who: int, minor: int) -> None:
        actor = self.actors[who]
        amount = actor.amount(minor)
        pay_in(WalletCredit(tenant=actor.tenant, amount=amount.decimal, note="transfer"))
        actor.paid_in += amount

    @invariant()
    def every_check_of_the_night_passes(self) -> None:
        assert ledger_check.check() == {}

    @invariant()
    def the_trial_balance_is_zero(self) -> None:
        sums: dict[str, int] = defaultdict(int)
        for row in balances.balances():
            sums[row.currency] += row.amount.pico
        assert not any(sums.values())

    @invariant()
    def the_accounts_are_what_the_clerk_noted(self) -> None:
        for actor in self.actors:
            assert actor.on(Account.RECEIVABLE) == actor.invoiced - actor.paid - actor.prepaid
            assert actor.on(Account.CASH) == actor.paid + actor.paid_in
            assert actor.on(Account.WALLET_LIABILITY) == actor.prepaid - actor.paid_in
            assert actor.on(Account.REVENUE, Account.ROUNDING, Account.TAX) == -actor.invoiced

    @invariant()
    def what_is_open_adds_up_to_what_is_receivable(self) -> None:
        for actor in self.actors:
            invoices = balances.with_open_amount(Invoice.objects.filter(tenant=actor.tenant))
            owed = sum((invoice.open_amount or Decimal(0) for invoice in invoices), Decimal(0))
            assert owed == actor.on(Account.RECEIVABLE).decimal

    @invariant()
    def nothing_final_has_changed_and_no_number_is_missing(self) -> None:
        assert {pk: self._whole(pk) for pk in self.final} == self.final
        for year in (2026, 2027):
            numbers = Invoice.objects.filter(issued_on__year=year).order_by("number").values_list("number", flat=True)
            assert list(numbers) == [f"TW-{year}-{place:06d}" for place in range(1, len(numbers) + 1)]

    def _whole(self, pk: int) -> dict[str, Any]:
        lines = InvoiceLine.objects.filter(invoice=pk).order_by("position").values_list()
        return {"lines": list(lines), **Invoice.objects.filter(pk=pk).values().get()}

    def _payment(self, invoice_id: int, amount: Money) -> Payment:
        return Payment(
            invoice_id=invoice_id,
            amount=amount.decimal,
            currency=amount.currency,
            received_on=RECEIVED,
            reference=uuid4().hex,
            recorded_by=self.clerk,
        )


def test_the_books_are_right_after_every_step_of_any_story(seller: Seller, olga: User) -> None:
    for currency, factor in (("USD", 1), ("JPY", 100)):
        book = PriceBook.objects.create(slug=currency.lower(), name=currency, currency=currency)
        dearer = {unit: str(Decimal(price) * factor) for unit, price in PRICES.items()}
        publishing.publish(new_version(book, YEAR, dearer))
    Books.clerk = olga
    run_state_machine_as_test(Books, settings=settings(max_examples=8, stateful_step_count=20))
