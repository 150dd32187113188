"""Bought credit pays invoices, granted credit lowers them, what expires or goes back is booked; nothing twice."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction

from billing import balances, closing, drafting, ledger_check, wallet_expiry, wallets
from billing.bookings import Account
from billing.errors import (
    CreditCannotBePaid,
    CreditHoldsLess,
    ExpiryIsUnclear,
    GrantIsNotRefunded,
    RefundWithoutReason,
    WalletHasChanged,
)
from billing.finalising import finalise
from billing.models import Entry, Invoice, InvoiceLine, Posting, WalletCredit, WalletDraw
from billing.turns import one_snapshot
from metering.models import Bucket
from money.amount import Money
from tests.billing.samples import DECEMBER, NOVEMBER, add_usage
from tests.conftest import Person
from tests.metering.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

FEBRUARY = datetime(2027, 2, 10, tzinfo=UTC)
FIRST = date(2026, 11, 1)


def paid_in(person: Person, amount: str, **fields: Any) -> WalletCredit:
    given = {"note": "transfer", **fields}
    return wallets.pay_in(WalletCredit(tenant=person.tenant, amount=Decimal(amount), **given))


def granted(person: Person, amount: str, **fields: Any) -> WalletCredit:
    return paid_in(person, amount, kind="granted", **{"note": "welcome", **fields})


def november(person: Person, tokens: int = 10_000_000) -> Invoice:
    """USD 24.00 of output, 28.56 with tax."""
    add_usage(person.project, NOVEMBER, "output", tokens)
    return closing.close(person.tenant, FIRST, now=DECEMBER)


def left(credit: WalletCredit) -> str:
    return str(wallets.left_of(credit).decimal.normalize())


def owed(person: Person, account: Account) -> Decimal:
    found = balances.balances(account=account, tenant_id=person.tenant.pk)
    return found[0].amount.decimal if found else Decimal(0)


def figures(invoice: Invoice) -> list[str]:
    amounts = (invoice.net, invoice.tax, invoice.gross, invoice.prepaid)
    return [*(f"{amount:.2f}" for amount in amounts), f"{balances.open_amount(invoice).decimal:.2f}"]


def test_bought_credit_pays_the_gross_amount(priced: Person) -> None:
    credit = paid_in(priced, "30")
    invoice = november(priced)
    invoice.refresh_from_db()
    assert figures(invoice) == ["24.00", "4.56", "28.56", "28.56", "0.00"]
    assert left(credit) == "1.44"
    assert owed(priced, Account.WALLET_LIABILITY) == Decimal("-1.44")
    assert ledger_check.check() == {}


def test_what_a_wallet_does_not_pay_is_open(priced: Person) -> None:
    credit = paid_in(priced, "20")
    assert figures(november(priced)) == ["24.00", "4.56", "28.56", "20.00", "8.56"]
    assert left(credit) == "0"


def test_granted_credit_lowers_the_net_amount_and_is_never_booked(priced: Person) -> None:
    grant = granted(priced, "10")
    invoice = november(priced)
    assert figures(invoice) == ["14.00", "2.66", "16.66", "0.00", "16.66"]
    line = invoice.lines.get(kind=InvoiceLine.Kind.GRANT)
    assert (line.amount, line.exact, line.wallet_credit) == (-10, -10, grant)
    assert line.description == "Granted credit: welcome (llama-3.3-70b)"
    assert (line.tax_category, line.tax_rate_percent) == ("S", Decimal(19))
    assert left(grant) == "0"
    assert owed(priced, Account.REVENUE) == -14
    assert not Entry.objects.filter(kind__startswith="wallet").exists()
    assert ledger_check.check() == {}


def test_grants_come_before_bought_credit_and_pay_no_tax(priced: Person) -> None:
    bought, grant = paid_in(priced, "100"), granted(priced, "30")
    invoice = november(priced)
    assert figures(invoice) == ["0.00", "0.00", "0.00", "0.00", "0.00"]
    assert (left(bought), left(grant)) == ("1E+2", "6")
    assert ledger_check.check() == {}


def test_a_credit_pays_for_what_was_used_before_it_expired_only(priced: Person) -> None:
    """A quarter of the quantity came on the 10th, before the grant expired on the 15th."""
    grant = granted(priced, "20", expires_at=datetime(2030, 11, 15, tzinfo=UTC))
    for day, tokens in ((10, 2_500_000), (20, 7_500_000)):
        add_usage(priced.project, datetime(2030, 11, day, tzinfo=UTC), "output", tokens)
    invoice = closing.close(priced.tenant, date(2030, 11, 1), now=datetime(2030, 12, 2, tzinfo=UTC))
    assert (left(grant), str(invoice.net.normalize())) == ("14", "18")


def test_a_restricted_credit_does_not_pay_for_another_offering(priced: Person) -> None:
    credit = paid_in(priced, "100", offerings=["qwen"])
    assert figures(november(priced))[3:] == ["0.00", "28.56"]
    assert left(credit) == "1E+2"


def test_a_draft_draws_nothing_and_shows_what_closing_would_draw(priced: Person) -> None:
    paid_in(priced, "20"), granted(priced, "4")
    add_usage(priced.project, NOVEMBER, "output", 10_000_000)
    with one_snapshot():
        draft = drafting.draft(priced.tenant, FIRST, early=False, now=DECEMBER)
    assert (draft.net, draft.prepaid) == (20, 20)
    assert not WalletDraw.objects.exists()
    final = finalise(draft.pk, now=DECEMBER)
    assert (final.net, final.prepaid) == (20, 20)
    assert WalletDraw.objects.count() == 2


def test_a_grant_that_is_gone_since_the_draft_lets_it_be_made_anew(priced: Person) -> None:
    grant = granted(priced, "4")
    add_usage(priced.project, NOVEMBER, "output", 10_000_000)
    with one_snapshot():
        draft = drafting.draft(priced.tenant, FIRST, early=False, now=DECEMBER)
    with transaction.atomic():
        wallets.expire(grant, DECEMBER)
    with pytest.raises(WalletHasChanged):
        finalise(draft.pk, now=DECEMBER)
    assert closing.close(priced.tenant, FIRST, now=DECEMBER).net == 24


def test_usage_that_turns_out_smaller_gives_back_to_the_grant_and_not_to_the_tenant(priced: Person) -> None:
    grant = granted(priced, "10")
    november(priced)
    Bucket.objects.update(quantity=0)
    add_usage(priced.project, DECEMBER, "input_uncached", 1_000_000)
    second = closing.close(priced.tenant, date(2026, 12, 1), now=DECEMBER + timedelta(days=35))
    assert left(grant) == "1E+1"
    assert figures(second)[0] == "-13.40"  # 24.00 go back, of which the grant gave 10.00; 0.60 are new.
    assert ledger_check.check() == {}


def test_bought_credit_is_refunded_with_a_reason_and_never_more_than_is_left(priced: Person, olga: User) -> None:
    credit = paid_in(priced, "30")
    november(priced)
    for amount, reason, refusal in (("1.45", "x", CreditHoldsLess), ("1", " ", RefundWithoutReason)):
        with pytest.raises(refusal):
            wallets.refund(credit.pk, Money.of(amount, "USD"), reason, olga)
    with pytest.raises(CreditCannotBePaid):
        wallets.refund(credit.pk, Money.of("0.001", "USD"), "x", olga)
    wallets.refund(credit.pk, Money.of("1.44", "USD"), "leaves", olga)
    assert left(credit) == "0"
    assert owed(priced, Account.CASH) == Decimal("28.56")
    assert owed(priced, Account.WALLET_LIABILITY) == 0
    assert ledger_check.check() == {}


def test_granted_credit_is_not_refunded(priced: Person, olga: User) -> None:
    grant = granted(priced, "5")
    with pytest.raises(GrantIsNotRefunded):
        wallets.refund(grant.pk, Money.of(1, "USD"), "leaves", olga)
    with pytest.raises(IntegrityError, match="was not paid for"), transaction.atomic():
        WalletDraw.objects.create(
            tenant=priced.tenant, credit=grant, kind="refund", amount=1, reason="x", created_at=DECEMBER
        )


def test_two_refunds_at_once_never_take_more_than_there_is(priced: Person, olga: User) -> None:
    credit = paid_in(priced, "10")

    def one() -> object:
        try:
            return wallets.refund(credit.pk, Money.of(6, "USD"), "leaves", olga)
        except CreditHoldsLess as refusal:
            return type(refusal)

    assert at_once(one, one).count(CreditHoldsLess) == 1
    assert left(credit) == "4"


def test_a_refund_and_a_closing_at_once_share_what_there_is(priced: Person, olga: User) -> None:
    credit = paid_in(priced, "30")
    add_usage(priced.project, NOVEMBER, "output", 10_000_000)

    def refund() -> None:
        try:
            wallets.refund(credit.pk, Money.of(25, "USD"), "leaves", olga)
        except CreditHoldsLess:
            assert left(credit) == "1.44"

    at_once(refund, lambda: closing.close(priced.tenant, FIRST, now=DECEMBER))
    invoice = Invoice.objects.get()
    assert str(invoice.prepaid.normalize()) in ("5", "28.56")
    assert ledger_check.check() == {}


@pytest.mark.parametrize("amount", ["0", "-1", "0.001"])
def test_a_credit_is_an_amount_that_can_be_paid(priced: Person, amount: str) -> None:
    with pytest.raises(CreditCannotBePaid):
        paid_in(priced, amount)
    assert not WalletCredit.objects.exists()


@pytest.mark.parametrize("expires_at", [datetime(2020, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, 0, 7, tzinfo=UTC)])
def test_a_credit_expires_later_and_between_two_buckets(priced: Person, expires_at: datetime) -> None:
    with pytest.raises(ExpiryIsUnclear):
        paid_in(priced, "5", expires_at=expires_at)


EXPIRES = datetime(2030, 11, 15, tzinfo=UTC)


def test_what_expires_waits_until_all_usage_before_it_is_invoiced(priced: Person) -> None:
    credit = paid_in(priced, "30", expires_at=EXPIRES)
    add_usage(priced.project, datetime(2030, 11, 10, tzinfo=UTC), "output", 5_000_000)
    assert wallet_expiry.expire_due(EXPIRES + timedelta(days=60)) == 0
    closing.close(priced.tenant, date(2030, 11, 1), now=datetime(2030, 12, 2, tzinfo=UTC))
    assert wallet_expiry.expire_due(EXPIRES - timedelta(seconds=1)) == 0
    assert wallet_expiry.expire_due(datetime(2030, 12, 3, tzinfo=UTC)) == 1
    assert wallet_expiry.expire_due(datetime(2030, 12, 3, tzinfo=UTC)) == 0
    assert left(credit) == "0"
    assert owed(priced, Account.BREAKAGE) == Decimal("-15.72")
    assert ledger_check.check() == {}


def test_a_draft_holds_expiry_back(priced: Person) -> None:
    granted(priced, "5", expires_at=EXPIRES)
    add_usage(priced.project, datetime(2030, 11, 10, tzinfo=UTC), "output", 5_000_000)
    with one_snapshot():
        drafting.draft(priced.tenant, date(2030, 11, 1), early=False, now=datetime(2030, 12, 2, tzinfo=UTC))
    assert wallet_expiry.expire_due(EXPIRES + timedelta(days=60)) == 0


def test_a_grant_that_expires_is_not_booked(priced: Person) -> None:
    grant = granted(priced, "5", expires_at=EXPIRES)
    assert wallet_expiry.expire_due(EXPIRES + timedelta(days=60)) == 1
    assert left(grant) == "0"
    assert not Posting.objects.exists()
    assert ledger_check.check() == {}


@pytest.mark.parametrize("deed", ["UPDATE {} SET amount = 1", "DELETE FROM {}"])
def test_draws_never_change(priced: Person, deed: str) -> None:
    paid_in(priced, "30")
    november(priced)
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(deed.format("billing_walletdraw"))


def test_postgres_refuses_to_overdraw_a_credit_and_draws_of_a_final_invoice(priced: Person, mallory: Person) -> None:
    credit = paid_in(priced, "30")
    invoice = november(priced)
    given: dict[str, Any] = {"tenant": priced.tenant, "credit": credit, "kind": "expiry", "created_at": DECEMBER}
    for changed, because in (
        ({"amount": "1.45"}, "would be drawn to 30.01"),
        ({"amount": "1", "kind": "use", "invoice": invoice}, "final invoice never change"),
        ({"amount": "1", "tenant": mallory.tenant}, "another tenant"),
        ({"amount": "-1"}, "draw_kind"),
    ):
        with pytest.raises(IntegrityError, match=because), transaction.atomic():
            WalletDraw.objects.create(**{**given, **changed})


def test_an_invoice_cannot_become_final_with_more_prepaid_than_was_drawn(
    priced: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid_in(priced, "30")
    monkeypatch.setattr(wallets, "draw_for", lambda invoice, now: None)
    with pytest.raises(IntegrityError, match="which gave 0"):
        november(priced)


def test_money_taken_back_before_there_were_refunds_is_netted_with_what_was_paid_in(alice: Person) -> None:
    for day, amount in enumerate(("10", "5", "-12", "-1", "-4"), start=1):
        WalletCredit.objects.create(
            tenant=alice.tenant, amount=amount, note="x", created_at=datetime(2026, 1, day, tzinfo=UTC)
        )
    with connection.cursor() as cursor:
        cursor.execute(import_module("billing.migrations.0013_wallets_frozen").NETTED)
    assert [left(credit) for credit in WalletCredit.objects.order_by("pk")] == ["0", "0", "0", "0", "-2"]
