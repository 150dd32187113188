"""Credits are bought, granted, used, refunded and expire in any order: after every step the wallet is its movements.

Beside the product, a clerk with paper notes down what went into the wallet and what came out of it.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from billing import balances, closing, ledger_check, programmes, publishing, wallet_expiry, wallets
from billing.bookings import Account
from billing.errors import CreditHoldsLess, NothingToInvoice, WalletRefused
from billing.models import Invoice, InvoiceLine, PriceBook, Programme, WalletCredit, WalletDraw
from billing.wallet_reading import with_left
from metering.models import Bucket
from money.amount import Money
from tenants.models import Tenant
from tests.billing.samples import LLAMA, YEAR, add_usage
from tests.conftest import Person, new_tenant
from tests.metering.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

CENTS = st.integers(1, 4_000)
KINDS = st.sampled_from(["bought", "granted"])
EXPIRES = st.none() | st.integers(1, 50)  # Days from now.
OFFERINGS = st.sampled_from([[], [], [LLAMA], ["another"]])


class Wallet(RuleBasedStateMachine):
    clerk: User
    book: PriceBook
    tenant: Tenant

    @initialize()
    def open_an_account(self) -> None:
        issued = new_tenant(f"t{uuid4().hex}", tax_rate_percent="19.00", time_zone="Europe/Berlin")
        self.project = issued.key.project
        self.tenant = self.project.tenant
        publishing.agree(self.tenant, self.book, YEAR)
        self.programme = Programme.objects.create(
            slug=uuid4().hex, name="Right to compute", currency="USD", pool=25, amount=10, every="month", opens_at=YEAR
        )
        self.programme.tenants.add(self.tenant)
        self.months = 0
        self.noted: Counter[str] = Counter({"bought": 0, "granted": 0})  # In cents.

    @property
    def now(self) -> datetime:
        """The 10th of the first month that is open."""
        return datetime(2026 + self.months // 12, self.months % 12 + 1, 10, tzinfo=UTC)

    @rule(kind=KINDS, cents=CENTS, days=EXPIRES, offerings=OFFERINGS, priority=st.integers(0, 1))
    def put_in(self, kind: str, cents: int, days: int | None, offerings: list[str], priority: int) -> None:
        expires_at = None if days is None else self.now + timedelta(days=days)
        credit = WalletCredit(
            tenant=self.tenant, kind=kind, amount=Decimal(cents) / 100, note=kind, expires_at=expires_at,
            offerings=offerings, priority=priority, created_at=self.now,
        )  # fmt: skip
        wallets.pay_in(credit, now=self.now)
        self.noted[kind] += cents

    @rule()
    def claim_a_grant(self) -> None:
        def claim() -> Any:
            try:
                return programmes.grant(self.programme.pk, self.tenant, self.now)
            except WalletRefused:
                return None

        granted = [credit for credit in at_once(claim, claim) if isinstance(credit, WalletCredit)]
        assert len(granted) <= 1
        self.noted["granted"] += 1000 * len(granted)

    @rule(day=st.integers(1, 28), tokens=st.integers(1, 20_000_000))
    def use(self, day: int, tokens: int) -> None:
        add_usage(self.project, self.now.replace(day=day), "output", tokens)

    @rule()
    def correct_all_usage_to_nothing(self) -> None:
        Bucket.objects.filter(tenant_id=self.tenant.pk).update(quantity=0)

    @rule(refund_at_once=st.booleans())
    def close(self, refund_at_once: bool) -> None:
        month, then = self.now.date().replace(day=1), self.now + timedelta(days=35)

        def close() -> Any:
            try:
                return closing.close(self.tenant, month, now=then)
            except NothingToInvoice:
                return None

        refunds = [lambda: self._refund_something(100)] if refund_at_once else []
        invoice, *_ = at_once(close, *refunds)
        if isinstance(invoice, Invoice):
            self.months += 1
            given = InvoiceLine.objects.filter(invoice=invoice, kind="grant").values_list("amount", flat=True)
            self.noted["granted"] += _cents(sum(given, Decimal(0)))
            self.noted["bought"] -= _cents(Invoice.objects.get(pk=invoice.pk).prepaid)

    @rule(cents=CENTS)
    def refund(self, cents: int) -> None:
        self._refund_something(cents)

    @rule()
    def let_time_pass(self) -> None:
        """Credit that expires is noted as gone, and nothing else changes."""
        before, then = self._left(), self.now + timedelta(days=60)
        wallet_expiry.expire_due(then)
        for credit, cents in self._left().items():
            if cents != before[credit]:
                assert cents == 0
                assert credit.expires_at is not None
                assert credit.expires_at <= then
                self.noted[credit.kind] -= before[credit]

    @invariant()
    def the_wallet_is_what_the_clerk_noted_and_its_movements(self) -> None:
        left: Counter[str] = Counter({"bought": 0, "granted": 0})
        for credit, cents in self._left().items():
            left[credit.kind] += cents
            drawn = sum(credit.draws.values_list("amount", flat=True), Decimal(0))
            assert cents == _cents(credit.amount - drawn)
            assert 0 <= cents <= _cents(credit.amount)
        assert left == self.noted

    @invariant()
    def the_ledger_owes_what_was_bought_and_is_left(self) -> None:
        found = balances.balances(tenant_id=self.tenant.pk, account=Account.WALLET_LIABILITY)
        assert -sum(_cents(row.amount.decimal) for row in found) == self.noted["bought"]

    @invariant()
    def invoices_show_what_was_drawn(self) -> None:
        for invoice in Invoice.objects.filter(tenant=self.tenant):
            draws = WalletDraw.objects.filter(invoice=invoice).values_list("credit__kind", "amount")
            assert invoice.prepaid == sum((amount for kind, amount in draws if kind == "bought"), Decimal(0))
            assert 0 <= invoice.prepaid <= max(Decimal(0), invoice.gross)
            assert balances.open_amount(invoice).decimal == invoice.gross - invoice.prepaid

    @invariant()
    def every_check_of_the_night_passes(self) -> None:
        assert ledger_check.check() == {}

    def _left(self) -> dict[WalletCredit, int]:
        credits_of = with_left(WalletCredit.objects.filter(tenant=self.tenant))
        return {credit: _cents(credit.left) for credit in credits_of}

    def _refund_something(self, cents: int) -> None:
        """Of the bought credit that holds most; refused where it holds less."""
        held = {credit: left for credit, left in self._left().items() if credit.kind == "bought"}
        if not held:
            return
        credit = max(held, key=lambda credit: (held[credit], credit.pk))
        try:
            wallets.refund(credit.pk, Money.of(Decimal(cents) / 100, "USD"), "leaves", self.clerk)
        except CreditHoldsLess:
            return
        self.noted["bought"] -= cents


def _cents(amount: Decimal) -> int:
    assert amount * 100 == int(amount * 100)
    return int(amount * 100)


def test_the_wallet_is_its_movements_after_every_step_of_any_story(priced: Person, olga: User, book: PriceBook) -> None:
    Wallet.clerk, Wallet.book = olga, book
    run_state_machine_as_test(Wallet, settings=settings(max_examples=8, stateful_step_count=15))
