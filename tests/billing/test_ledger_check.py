"""Each night the ledger is held against what it booked. What only a superuser can break is found, and said by name."""

from datetime import date
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from billing import closing, ledger_check, payments
from billing.models import Invoice, WalletCredit
from billing.schedule import BEAT_SCHEDULE
from billing.tasks import check_ledger
from billing.wallets import pay_in
from metering.alerts import open_by_kind
from metering.models import Alert
from tests.billing.samples import DECEMBER, NOVEMBER, add_usage
from tests.billing.test_payments import payment
from tests.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def books(priced: Person, olga: User) -> Invoice:
    """One of each: an invoice, a payment, one that was reversed, a wallet credit, and a draft."""
    add_usage(priced.project, NOVEMBER, "output", 10_000_000)
    invoice = closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)
    payments.record(payment(invoice, olga, "3", "A"))
    payments.reverse(payments.record(payment(invoice, olga, "4", "B")).pk, "returned", olga)
    pay_in(WalletCredit(tenant=priced.tenant, amount=Decimal(5), note="transfer"))
    return invoice


def as_superuser(*statements: str) -> None:
    """Write past all triggers."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for sql in statements:
            cursor.execute(sql)


def test_books_that_agree_raise_no_alert(books: Invoice) -> None:
    assert ledger_check.check() == {}
    assert not open_by_kind()


@pytest.mark.parametrize(
    ("broken", "mended", "subject", "said"),
    [
        (
            "UPDATE billing_posting SET amount = -2 WHERE amount = -3",
            "UPDATE billing_posting SET amount = -3 WHERE amount = -2",
            "entries",
            "sums to 1.000000000000 USD",
        ),
        (
            "UPDATE billing_entry SET legs = 4 WHERE kind = 'invoice'",
            "UPDATE billing_entry SET legs = 3 WHERE kind = 'invoice'",
            "entries",
            "has 3 postings, and was booked with 4",
        ),
        (
            "UPDATE billing_entry SET kind = 'wallet_credit' WHERE kind = 'invoice'",
            "UPDATE billing_entry SET kind = 'invoice' WHERE key LIKE 'invoice%'",
            "invoices",
            "TW-2026-000001 over 28.560000000000 is booked 0 times, over 0",
        ),
        (
            "UPDATE billing_posting SET amount = amount * 2 WHERE account IN ('receivable', 'revenue', 'tax') "
            "AND entry_id = (SELECT id FROM billing_entry WHERE kind = 'invoice')",
            "UPDATE billing_posting SET amount = amount / 2 WHERE account IN ('receivable', 'revenue', 'tax') "
            "AND entry_id = (SELECT id FROM billing_entry WHERE kind = 'invoice')",
            "invoices",
            "is booked 1 times, over 57.12",
        ),
        (
            "UPDATE billing_invoiceline SET amount = 23.99",
            "UPDATE billing_invoiceline SET amount = 24",
            "lines",
            "the lines of TW-2026-000001 sum to 23.990000000000, and its net amount is 24.000000000000",
        ),
        (
            "UPDATE billing_payment SET reversed_at = now(), reversed_by_id = recorded_by_id, reversal_reason = 'x' "
            "WHERE reference = 'A'",
            "UPDATE billing_payment SET reversed_at = NULL, reversed_by_id = NULL, reversal_reason = '' "
            "WHERE reference = 'A'",
            "payments",
            "over 3.000000000000 is booked over 3.000000000000, of which 0 was reversed",
        ),
        (
            "UPDATE billing_walletcredit SET amount = 6",
            "UPDATE billing_walletcredit SET amount = 5",
            "wallet credits",
            "over 6.000000000000 is booked over 5.000000000000",
        ),
    ],
)
def test_what_differs_is_an_alert_until_it_is_right(
    books: Invoice, broken: str, mended: str, subject: str, said: str
) -> None:
    as_superuser(broken)
    assert subject in ledger_check.check()
    ledger_check.check()
    alert = Alert.objects.get(resolved_at=None, subject=subject)
    assert alert.kind == "ledger_differs"
    assert said in alert.message
    as_superuser(mended)
    assert ledger_check.check() == {}
    assert not open_by_kind()


def test_a_wallet_credit_that_was_entered_past_the_ledger_is_found(priced: Person) -> None:
    credit = WalletCredit.objects.create(tenant=priced.tenant, amount=Decimal("2.5"), note="by hand")
    [said] = ledger_check.check()["wallet credits"]
    assert said == f"wallet credit {credit.pk} over 2.500000000000 is booked over 0"


def test_the_books_are_checked_each_night(books: Invoice) -> None:
    as_superuser("UPDATE billing_posting SET amount = -2 WHERE amount = -3")
    check_ledger()
    assert open_by_kind() == {"ledger_differs": 1}
    assert check_ledger.name in {entry["task"] for entry in BEAT_SCHEDULE.values()}
