"""The operator's pages about wallets, programmes, top-ups and settlements."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing import closing, programmes, wallets
from billing.models import Invoice, Programme, Settlement, TopUpOrder, TopUpRule, WalletCredit
from tests.billing.samples import DECEMBER, NOVEMBER, add_usage
from tests.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)


def page(name: str, *args: object) -> str:
    return reverse(f"admin:billing_{name}", args=args)


@pytest.fixture
def prepaid(priced: Person) -> Person:
    priced.tenant.prepaid = True
    priced.tenant.save()
    return priced


@pytest.fixture
def invoice(priced: Person) -> Invoice:
    add_usage(priced.project, NOVEMBER, "output", 10_000_000)
    return closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)


def entered(person: Person, **fields: Any) -> dict[str, Any]:
    given = {"tenant": person.tenant.pk, "kind": "bought", "amount": "30", "note": "transfer 17", "priority": "0"}
    return {**given, "offerings": "", "order": "", **fields}


def test_a_credits_page_shows_what_was_drawn_and_what_is_left(office: Client, prepaid: Person) -> None:
    assert office.post(page("walletcredit_add"), entered(prepaid)).status_code == 302
    add_usage(prepaid.project, NOVEMBER, "output", 10_000_000)
    invoice = closing.close(prepaid.tenant, date(2026, 11, 1), now=DECEMBER)
    shown = office.get(page("walletcredit_change", WalletCredit.objects.get().pk)).text
    for expected in ("30.00 USD", "1.44 USD", "28.56", str(invoice.number), "used on an invoice"):
        assert expected in shown
    assert "1.44 USD" in office.get(page("walletcredit_changelist")).text
    shown = office.get(page("invoice_change", invoice.pk)).text
    assert "Paid by the wallet" in shown
    assert "0.00 USD" in shown  # What is due.


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"amount": "0.001"}, "with the decimals of the currency"),
        ({"amount": "-1"}, "Give more than zero"),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}, "still to come"),
    ],
)
def test_a_credit_that_cannot_be_is_refused_on_its_page(
    office: Client, prepaid: Person, fields: dict[str, str], reason: str
) -> None:
    assert reason in office.post(page("walletcredit_add"), entered(prepaid, **fields)).text
    assert not WalletCredit.objects.exists()


def test_a_grant_needs_no_prepaid_tenant(office: Client, priced: Person) -> None:
    assert office.post(page("walletcredit_add"), entered(priced, kind="granted")).status_code == 302
    assert "Make it prepaid first" in office.post(page("walletcredit_add"), entered(priced)).text


def test_what_is_left_of_a_credit_is_refunded_on_its_page(office: Client, prepaid: Person) -> None:
    credit = wallets.pay_in(WalletCredit(tenant=prepaid.tenant, amount=Decimal(30), note="transfer"))
    change = page("walletcredit_change", credit.pk)
    assert "Refund" in office.get(change).text
    url = page("walletcredit_refund_credit", credit.pk)
    given = {"_form_submitted": "True", "reason": "leaves"}
    answer = office.post(url, {**given, "amount": "31"})
    assert answer["HX-Redirect"] == change
    assert "is more. Refund that much at most." in office.get(change).text
    office.post(url, {**given, "amount": "12"})
    assert wallets.left_of(credit).decimal == 18


def test_an_order_is_paid_or_cancelled_on_pages(office: Client, prepaid: Person, mallory: Person) -> None:
    now = timezone.now()
    TopUpRule.objects.create(tenant=prepaid.tenant, threshold=10, amount=30)
    order = TopUpOrder.objects.create(
        tenant=prepaid.tenant, amount=30, currency="USD", affordable=1, recipient="a@b.example", created_at=now,
        next_attempt_at=now,
    )  # fmt: skip
    mallory.tenant.prepaid = True
    mallory.tenant.save()
    other = entered(mallory, order=order.pk)
    assert "another tenant" in office.post(page("walletcredit_add"), other).text
    assert office.post(page("walletcredit_add"), entered(prepaid, order=order.pk)).status_code == 302
    order.refresh_from_db()
    assert order.status == "paid"
    assert office.get(page("topuporder_cancel_order", order.pk)).status_code == 302
    assert "paid or cancelled already" in office.get(page("topuporder_change", order.pk)).text
    for name in ("topuporder_changelist", "topuprule_changelist"):
        assert "30" in office.get(page(name)).text


def test_a_programme_is_entered_and_its_pool_stays_above_what_is_granted(office: Client, alice: Person) -> None:
    given = {
        "name": "Right to compute", "slug": "right", "currency": "USD", "pool": "100", "amount": "10", "every": "month",
        "opens_at_0": "2026-01-01", "opens_at_1": "00:00", "closes_at_0": "", "closes_at_1": "", "priority": "0",
        "offerings": "", "countries": "DE,FR", "valid_days": "",
    }  # fmt: skip
    assert "ends with its month" in office.post(page("programme_add"), {**given, "valid_days": "3"}).text
    assert office.post(page("programme_add"), given).status_code == 302
    programme = Programme.objects.get()
    programmes.grant(programme.pk, alice.tenant, timezone.now())
    change = page("programme_change", programme.pk)
    assert "10.00" in office.get(change).text
    assert "10 of it is granted already" in office.post(change, {**given, "pool": "9"}).text
    assert office.post(change, {**given, "pool": "10"}).status_code == 302
    assert "Right to compute" in office.get(page("programme_changelist")).text


def test_a_loss_is_written_off_on_its_page(office: Client, invoice: Invoice, olga: User) -> None:
    given = {"invoice": invoice.pk, "kind": "write_off", "amount": "28.57", "currency": "USD"}
    given |= {"occurred_on": "2026-11-20", "reference": "insolvent"}
    assert "28.56 USD of TW-2026-000001 is open" in office.post(page("settlement_add"), given).text
    assert office.post(page("settlement_add"), {**given, "amount": "28.56"}).status_code == 302
    settlement = Settlement.objects.get()
    assert settlement.recorded_by == olga
    assert "28.56 USD" in office.get(page("settlement_change", settlement.pk)).text
    assert "insolvent" in office.get(page("settlement_changelist")).text
