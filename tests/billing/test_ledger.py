"""Each deed is booked once, balanced, and for good: Postgres itself sees to it."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from importlib import import_module

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse

from billing import closing, finalising, ledger
from billing.bookings import Account
from billing.errors import BookedOtherwise, InvoiceIsADraft
from billing.models import Entry, Invoice, Posting, WalletCredit
from billing.wallets import pay_in
from tests.billing.samples import DECEMBER, NOVEMBER, add_usage
from tests.conftest import Person
from tests.metering.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def invoice(priced: Person) -> Invoice:
    add_usage(priced.project, NOVEMBER, "input_uncached", 18_059_974)  # 10.8359844, printed as 10.84.
    return closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)


def postings(key: str) -> dict[str, Decimal]:
    return dict(Posting.objects.filter(entry__key=key).values_list("account", "amount"))


def everything_booked() -> list[tuple[object, ...]]:
    """All that the ledger holds, but for ids and the time of booking."""
    columns = ("entry__key", "entry__kind", "entry__tenant", "entry__invoice", "entry__occurred_on", "entry__memo")
    rows = Posting.objects.order_by("entry__key", "account")
    return list(rows.values_list(*columns, "entry__legs", "account", "tenant", "currency", "amount"))


def run(*statements: str) -> Callable[[], None]:
    def deed() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            for sql in statements:
                cursor.execute(sql)

    return deed


def test_a_final_invoice_is_booked_with_its_rounding_apart(invoice: Invoice) -> None:
    assert postings(f"invoice:{invoice.pk}") == {
        Account.RECEIVABLE: Decimal("12.90"),
        Account.REVENUE: Decimal("-10.8359844"),
        Account.ROUNDING: Decimal("-0.0040156"),
        Account.TAX: Decimal("-2.06"),
    }
    entry = Entry.objects.get()
    assert (entry.kind, entry.tenant, entry.invoice) == (Entry.Kind.INVOICE, invoice.tenant, invoice)
    assert (entry.occurred_on, entry.memo) == (invoice.issued_on, "TW-2026-000001")


def test_an_invoice_is_booked_once_however_often_it_is_finalised(invoice: Invoice) -> None:
    at_once(*[lambda: finalising.finalise(invoice.pk, now=DECEMBER)] * 2, *[lambda: ledger.book_invoice(invoice)] * 2)
    assert ledger.book_invoice(invoice) is False
    assert Entry.objects.count() == 1


def test_a_draft_is_not_booked(priced: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    monkeypatch.setattr(closing, "finalise", lambda pk, now: Invoice.objects.get(pk=pk))
    with pytest.raises(InvoiceIsADraft, match="A draft is not booked"):
        ledger.book_invoice(closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER))
    assert not Entry.objects.exists()


def test_another_deed_by_the_same_key_is_refused(invoice: Invoice) -> None:
    invoice.net += 1
    with pytest.raises(BookedOtherwise, match=f"invoice:{invoice.pk} is booked already"):
        ledger.book_invoice(invoice)


def test_what_is_paid_into_a_wallet_on_its_page_is_booked(priced: Person, olga: User, client: Client) -> None:
    priced.tenant.prepaid = True
    priced.tenant.save()
    client.force_login(olga)
    entered = {"tenant": priced.tenant.pk, "kind": "bought", "amount": "25.50", "note": "transfer", "priority": "0"}
    assert client.post(reverse("admin:billing_walletcredit_add"), entered).status_code == 302
    credit = WalletCredit.objects.get()
    assert postings(f"wallet_credit:{credit.pk}") == {
        Account.CASH: Decimal("25.50"),
        Account.WALLET_LIABILITY: Decimal("-25.50"),
    }
    assert ledger.book_wallet_credit(credit) is False


ENTRY = "INSERT INTO billing_entry (tenant_id, kind, key, occurred_on, booked_at, memo, legs) SELECT id, 'payment', "
LEG = "INSERT INTO billing_posting (entry_id, account, tenant_id, currency, amount) SELECT e.id, "
OF_X = " FROM billing_entry e WHERE key = 'x'"


def entry(legs: int) -> str:
    return f"{ENTRY}'x', '2026-12-01', now(), '', {legs} FROM tenants_tenant LIMIT 1"


def leg(account: str, amount: str, currency: str = "USD", tenant: str = "e.tenant_id") -> str:
    return f"{LEG}'{account}', {tenant}, '{currency}', {amount}{OF_X}"


@pytest.mark.parametrize(
    ("legs", "because"),
    [
        ([leg("cash", "5"), leg("receivable", "-4.99")], "do not sum to zero"),
        ([leg("cash", "5"), leg("receivable", "-5", "EUR")], "do not sum to zero"),
        ([leg("cash", "5"), leg("receivable", "-5"), leg("tax", "0.000000000001")], "has not its 2 postings"),
        ([leg("cash", "0")], "has not its 2 postings"),
        ([], "has not its 2 postings"),
        ([leg("cash", "5"), leg("cash", "-5")], "posting_once"),
        ([leg("cash", "5"), leg("gifts", "-5")], "posting_account"),
        (
            [leg("cash", "5"), leg("receivable", "-5", tenant="(SELECT max(id) FROM tenants_tenant)")],
            "postings of one tenant",
        ),
    ],
)
def test_postgres_refuses_an_entry_that_does_not_balance(
    alice: Person, mallory: Person, legs: list[str], because: str
) -> None:
    with pytest.raises(IntegrityError, match=because):
        run(entry(2), *legs)()
    assert not Entry.objects.exists()


def test_postgres_refuses_an_entry_of_one_leg(alice: Person) -> None:
    with pytest.raises(IntegrityError, match="entry_is_double"):
        run(entry(1), leg("cash", "0"))()


def test_postings_that_balance_are_taken_in_any_order_of_statements(alice: Person) -> None:
    run(entry(3), leg("cash", "5"), leg("tax", "-1"), leg("receivable", "-4"))()
    assert postings("x") == {"cash": 5, "tax": -1, "receivable": -4}


def test_nothing_is_slipped_into_an_entry_that_is_booked(alice: Person) -> None:
    run(entry(2), leg("cash", "5"), leg("receivable", "-5"))()
    with pytest.raises(IntegrityError, match="has not its 2 postings"):
        run(leg("revenue", "-7"), leg("tax", "7"))()


@pytest.mark.parametrize("table", ["billing_entry", "billing_posting"])
@pytest.mark.parametrize("deed", ["UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_what_was_booked_never_changes(invoice: Invoice, table: str, deed: str) -> None:
    enabled = f"ALTER TABLE {table} ENABLE TRIGGER {table}_kept"  # Tests disable it: see tests/conftest.py.
    with pytest.raises(IntegrityError, match="what was booked never changes"):
        run(enabled, deed.format(table))()
    assert Entry.objects.count() == 1


def test_what_was_there_before_the_ledger_is_booked_as_the_ledger_books_it(invoice: Invoice, priced: Person) -> None:
    add_usage(priced.project, DECEMBER, "input_uncached", 10_000_000)  # A gross amount, a tax, and nothing to round.
    closing.close(priced.tenant, date(2026, 12, 1), early=True, now=DECEMBER.replace(day=2))
    pay_in(WalletCredit(tenant=priced.tenant, amount=Decimal("0.25"), note="transfer"))
    booked = everything_booked()
    assert len(booked) == 4 + 3 + 2

    past = import_module("billing.migrations.0007_book_the_past")
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE billing_entry, billing_posting")
    run(past.INVOICES, past.WALLETS)()
    assert everything_booked() == booked
    run(past.INVOICES, past.WALLETS)()
    assert everything_booked() == booked
