"""docs/ledger.md is true: its worked example is executed, and its tables name what there is."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from billing import balances, closing, payments, settlements, wallet_expiry, wallets
from billing.bookings import Account
from billing.models import Entry, Posting, Settlement, WalletCredit
from money.amount import Money
from tests.billing.samples import DECEMBER, NOVEMBER, add_usage
from tests.billing.test_payments import payment
from tests.conftest import Person

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ledger.md"

Row = list[str]


def tables() -> list[list[Row]]:
    """The rows of each table of the page, without its head."""
    found: list[list[Row]] = [[]]
    for line in PAGE.read_text().splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        elif found[-1]:
            found.append([])
    return [rows[2:] for rows in found if rows]


def test_the_page_names_every_account() -> None:
    accounts, deeds, _, trial, _ = tables()
    assert {row[0] for row in accounts} == {row[0] for row in trial} == set(Account)
    assert {row[1].split("`")[1].partition(":")[0] for row in deeds} | {"payment_reversal"} == set(Entry.Kind.values)


@pytest.mark.django_db(transaction=True)
def test_the_worked_example_is_what_is_booked(priced: Person, olga: User) -> None:
    _, _, booked, trial, _ = tables()
    add_usage(priced.project, NOVEMBER, "input_uncached", 18_059_974)
    add_usage(priced.project, NOVEMBER, "output", 2_500)
    invoice = closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)
    payments.record(payment(invoice, olga, "10.00", "A"))
    payments.reverse(payments.record(payment(invoice, olga, "2.91", "B")).pk, "returned", olga)
    expires_at = datetime(2030, 12, 31, 23, tzinfo=UTC)  # Midnight in Berlin.
    wallet = WalletCredit(tenant=priced.tenant, amount=Decimal("25.00"), note="transfer", expires_at=expires_at)
    wallets.pay_in(wallet)
    wallets.pay_in(WalletCredit(tenant=priced.tenant, kind="granted", amount=Decimal("0.40"), note="welcome"))
    add_usage(priced.project, DECEMBER, "output", 1_000_000)
    closing.close(priced.tenant, date(2026, 12, 1), now=DECEMBER + timedelta(days=35))
    wallets.refund(wallet.pk, Money.of(5, "USD"), "leaves", olga)
    assert wallet_expiry.expire_due(expires_at) == 0  # The month of its last day may still be closed.
    assert wallet_expiry.expire_due(expires_at + timedelta(days=14)) == 1
    loss = {"kind": "write_off", "amount": Decimal("2.91"), "currency": "USD", "reference": "insolvent"}
    settlements.record(Settlement(invoice=invoice, occurred_on=date(2026, 11, 20), recorded_by=olga, **loss))

    found = Posting.objects.order_by("id").values_list("account", "amount")
    assert list(found) == [(account, Decimal(amount)) for _, account, amount in booked]
    shown = [(row.account.value, row.debit, row.credit, row.amount) for row in balances.balances()]
    assert shown == [(account, *(Money.of(figure, "USD") for figure in figures)) for account, *figures in trial]
