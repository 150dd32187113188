"""Payments recorded by hand: what is open of an invoice is what the ledger says."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from billing import balances, closing, payments
from billing.bookings import Account
from billing.errors import (
    AmountCannotBePaid,
    DraftIsNotPaid,
    NotReceivedYet,
    PaidTooMuch,
    PaymentInAnotherCurrency,
    PaymentIsReversed,
    PaymentRefused,
    PaymentTwice,
    ReasonIsMissing,
)
from billing.models import Entry, Invoice, Payment, Posting
from money.amount import Money
from tests.billing.samples import DECEMBER, NOVEMBER, add_usage
from tests.conftest import Person
from tests.metering.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

RECEIVED = date(2026, 11, 20)


@pytest.fixture
def invoice(priced: Person) -> Invoice:
    add_usage(priced.project, NOVEMBER, "output", 10_000_000)
    return closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)  # 28.56 USD


def payment(invoice: Invoice, by: User, amount: str, reference: str = "A", **fields: Any) -> Payment:
    given = {"currency": "USD", "received_on": RECEIVED, **fields}
    return Payment(invoice=invoice, amount=Decimal(amount), reference=reference, recorded_by=by, **given)


def open_of(invoice: Invoice) -> str:
    """What is open, which both projections say alike."""
    annotated = balances.with_open_amount(Invoice.objects.all()).get(pk=invoice.pk)
    exact = balances.open_amount(invoice)
    assert annotated.open_amount == exact.decimal
    assert balances.is_paid(annotated) == (exact <= Money.zero("USD"))
    return str(exact)


def test_an_invoice_is_paid_in_parts(invoice: Invoice, olga: User) -> None:
    assert open_of(invoice) == "28.56 USD"
    first = payments.record(payment(invoice, olga, "20.00", "A"))
    assert open_of(invoice) == "8.56 USD"
    payments.record(payment(invoice, olga, "8.56", "B"))
    assert open_of(invoice) == "0 USD"
    entry = Entry.objects.get(key=f"payment:{first.pk}")
    assert (entry.kind, entry.occurred_on, entry.memo, entry.invoice) == ("payment", RECEIVED, "A", invoice)
    legs = dict(entry.postings.values_list("account", "amount"))
    assert legs == {Account.CASH: Decimal(20), Account.RECEIVABLE: Decimal(-20)}


def test_a_payment_is_reversed_by_a_counter_entry_and_may_then_be_recorded_again(invoice: Invoice, olga: User) -> None:
    returned = payments.record(payment(invoice, olga, "28.56"))
    assert open_of(invoice) == "0 USD"
    payments.reverse(returned.pk, " returned by the bank ", olga)
    assert open_of(invoice) == "28.56 USD"
    entry = Entry.objects.get(key=f"payment:{returned.pk}:reversed")
    assert (entry.kind, entry.memo) == ("payment_reversal", "returned by the bank")
    assert dict(entry.postings.values_list("account", "amount")) == {
        Account.CASH: Decimal("-28.56"),
        Account.RECEIVABLE: Decimal("28.56"),
    }
    payments.record(payment(invoice, olga, "28.56"))
    assert open_of(invoice) == "0 USD"
    assert Payment.objects.count() == 2


def test_a_payment_is_reversed_once_and_with_a_reason(invoice: Invoice, olga: User) -> None:
    kept = payments.record(payment(invoice, olga, "1"))
    with pytest.raises(ReasonIsMissing):
        payments.reverse(kept.pk, "  ", olga)
    payments.reverse(kept.pk, "typed twice", olga)
    with pytest.raises(PaymentIsReversed):
        payments.reverse(kept.pk, "typed twice", olga)
    assert open_of(invoice) == "28.56 USD"


@pytest.mark.parametrize(
    ("amount", "fields", "refusal", "field"),
    [
        ("28.57", {}, PaidTooMuch, "amount"),
        ("0", {}, AmountCannotBePaid, "amount"),
        ("-1", {}, AmountCannotBePaid, "amount"),
        ("1.001", {}, AmountCannotBePaid, "amount"),
        ("1", {"currency": "EUR"}, PaymentInAnotherCurrency, "currency"),
        ("1", {"reference": "paid before"}, PaymentTwice, "reference"),
        ("1", {"received_on": timezone.now().date() + timedelta(days=2)}, NotReceivedYet, "received_on"),
    ],
)
def test_a_payment_that_cannot_be_is_refused_and_nothing_is_booked(
    invoice: Invoice, olga: User, amount: str, fields: dict[str, Any], refusal: type[PaymentRefused], field: str
) -> None:
    payments.record(payment(invoice, olga, "0.01", "paid before"))
    payments.reverse(Payment.objects.get().pk, "to see that a reversed one counts for nothing", olga)
    payments.record(payment(invoice, olga, "0.01", "paid before"))
    with pytest.raises(refusal) as raised:
        payments.record(payment(invoice, olga, amount, **fields))
    assert raised.value.field == field
    assert (Payment.objects.count(), Entry.objects.count()) == (2, 4)


def test_a_draft_is_not_paid(priced: Person, olga: User, monkeypatch: pytest.MonkeyPatch) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    monkeypatch.setattr(closing, "finalise", lambda pk, now: Invoice.objects.get(pk=pk))
    draft = closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)
    assert balances.with_open_amount(Invoice.objects.all()).get().open_amount is None
    with pytest.raises(DraftIsNotPaid) as raised:
        payments.record(payment(draft, olga, "1"))
    assert raised.value.field == "invoice"


def test_an_invoice_over_nothing_is_paid_and_takes_no_payment(priced: Person, olga: User) -> None:
    add_usage(priced.project, NOVEMBER, "request", 5)
    nothing = closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)
    assert open_of(nothing) == "0 USD"
    with pytest.raises(PaidTooMuch):
        payments.record(payment(nothing, olga, "0.01"))


def test_of_two_payments_at_once_that_are_too_much_together_one_is_recorded(invoice: Invoice, olga: User) -> None:
    def paying(reference: str) -> object:
        try:
            return payments.record(payment(invoice, olga, "20", reference))
        except PaymentRefused as refusal:
            return type(refusal)

    first, second = at_once(lambda: paying("A"), lambda: paying("B"))
    assert [first, second].count(PaidTooMuch) == 1
    assert open_of(invoice) == "8.56 USD"


def test_one_payment_recorded_twice_at_once_is_recorded_once(invoice: Invoice, olga: User) -> None:
    def paying() -> object:
        try:
            return payments.record(payment(invoice, olga, "5"))
        except PaymentRefused as refusal:
            return type(refusal)

    assert at_once(*[paying] * 3).count(PaymentTwice) == 2
    assert open_of(invoice) == "23.56 USD"


def test_a_payment_reversed_twice_at_once_is_reversed_once(invoice: Invoice, olga: User) -> None:
    kept = payments.record(payment(invoice, olga, "5"))

    def reversing() -> object:
        try:
            return payments.reverse(kept.pk, "returned", olga)
        except PaymentRefused as refusal:
            return type(refusal)

    assert at_once(*[reversing] * 3).count(PaymentIsReversed) == 2
    assert open_of(invoice) == "28.56 USD"


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE billing_payment SET amount = 1",
        "UPDATE billing_payment SET reversed_at = now(), reversed_by_id = recorded_by_id, reversal_reason = 'x', "
        "amount = 1",
        "DELETE FROM billing_payment",
        "ALTER TABLE billing_payment ENABLE TRIGGER billing_payment_kept; TRUNCATE billing_payment",
    ],
)
def test_postgres_keeps_a_payment_as_it_is(invoice: Invoice, olga: User, sql: str) -> None:
    payments.record(payment(invoice, olga, "5"))
    with pytest.raises(IntegrityError, match="never"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.parametrize("sql", ["reversal_reason = 'y'", "reversed_at = NULL, reversed_by_id = NULL"])
def test_postgres_keeps_a_reversal_as_it_is(invoice: Invoice, olga: User, sql: str) -> None:
    payments.reverse(payments.record(payment(invoice, olga, "5")).pk, "returned", olga)
    with pytest.raises(IntegrityError, match="never"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE billing_payment SET {sql}")


def test_balances_are_summed_by_account_tenant_currency_and_day(
    invoice: Invoice, priced: Person, mallory: Person, olga: User
) -> None:
    payments.record(payment(invoice, olga, "20"))  # Received in November, before the invoice of 1 December.
    assert [(str(b.account), str(b.debit), str(b.credit), str(b.amount)) for b in balances.balances()] == [
        ("receivable", "28.56 USD", "20 USD", "8.56 USD"),
        ("revenue", "0 USD", "24 USD", "-24 USD"),
        ("tax", "0 USD", "4.56 USD", "-4.56 USD"),
        ("cash", "20 USD", "0 USD", "20 USD"),
    ]
    assert [str(b.amount) for b in balances.balances(at=RECEIVED)] == ["-20 USD", "20 USD"]
    assert balances.balances(at=RECEIVED - timedelta(days=1)) == []
    assert balances.balances(currency="EUR") == balances.balances(tenant_id=mallory.tenant.pk) == []
    [receivable] = balances.balances(Account.RECEIVABLE, priced.tenant.pk, "USD", date(2026, 12, 1))
    assert receivable.amount == balances.open_amount(invoice)
    assert Posting.objects.filter(tenant=priced.tenant).count() == 5
