"""The operator's pages about payments and the ledger."""

import re
from datetime import date
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from billing import closing, payments
from billing.models import Entry, Invoice, Payment
from tests.billing.samples import DECEMBER, NOVEMBER, add_usage
from tests.billing.test_payments import payment
from tests.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def invoice(priced: Person) -> Invoice:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000_000)
    return closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)  # 2,856.00 USD


def page(name: str, *args: object) -> str:
    return reverse(f"admin:billing_{name}", args=args)


def test_an_invoice_leads_to_the_recording_of_what_is_open(office: Client, invoice: Invoice) -> None:
    shown = office.get(page("invoice_change", invoice.pk)).text
    link = f"{page('payment_add')}?invoice={invoice.pk}&amp;amount=2856.00&amp;currency=USD"
    assert link in shown
    assert 'value="2856.00"' in office.get(link.replace("&amp;", "&")).text
    given = {"invoice": invoice.pk, "amount": "2856.00", "currency": "USD", "received_on": "2026-11-20"}
    assert office.post(page("payment_add"), {**given, "reference": "transfer 17"}).status_code == 302
    assert Payment.objects.get().recorded_by.username == "olga"
    shown = office.get(page("invoice_change", invoice.pk)).text
    assert "transfer 17" in shown
    assert "Record a payment" not in shown
    assert "paid" in office.get(page("invoice_changelist")).text
    assert office.get(page("payment_changelist")).status_code == 200


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"amount": "2856"}, "2855.99 USD of TW-2026-000001 is open, and 2856 USD is more"),
        ({"amount": "0"}, "0 USD cannot be paid"),
        ({"currency": "EUR"}, "TW-2026-000001 is in USD, and not in EUR"),
        ({"reference": "A"}, "has a payment by the reference A already"),
        ({"received_on": "2999-01-01"}, "The day of receipt is still to come"),
    ],
)
def test_a_payment_that_cannot_be_is_refused_on_its_page(
    office: Client, invoice: Invoice, olga: User, fields: dict[str, str], reason: str
) -> None:
    payments.record(payment(invoice, olga, "0.01", "A"))
    given = {"invoice": invoice.pk, "amount": "1", "currency": "USD", "received_on": "2026-11-20", "reference": "B"}
    answer = office.post(page("payment_add"), {**given, **fields})
    assert answer.status_code == 200
    [name] = fields
    [said] = answer.context["adminform"].form.errors[name]
    assert reason in said
    assert not Payment.objects.filter(reference="B").exists()


def test_an_operator_reverses_a_payment_with_a_reason(office: Client, invoice: Invoice, olga: User) -> None:
    kept = payments.record(payment(invoice, olga, "2856"))
    target = page("payment_reverse_payment", kept.pk)
    assert target in office.get(page("payment_change", kept.pk)).text
    assert "Reverse the payment" in office.get(target).text
    answer = office.post(target, {"reason": "returned by the bank", "_form_submitted": "1"})
    assert answer["HX-Redirect"] == page("payment_change", kept.pk)
    shown = office.get(answer["HX-Redirect"]).text
    assert "The payment is reversed." in shown
    assert "returned by the bank" in shown
    office.post(target, {"reason": "again", "_form_submitted": "1"})
    assert "The payment was reversed before." in office.get(page("payment_change", kept.pk)).text


def test_a_payment_is_neither_changed_nor_deleted_on_its_page(office: Client, invoice: Invoice, olga: User) -> None:
    kept = payments.record(payment(invoice, olga, "1"))
    assert office.post(page("payment_change", kept.pk), {"amount": "2"}).status_code == 403
    assert office.post(page("payment_delete", kept.pk), {"post": "yes"}).status_code == 403


def test_staff_without_the_permission_reverse_nothing(client: Client, invoice: Invoice, olga: User) -> None:
    kept = payments.record(payment(invoice, olga, "1"))
    clerk = User.objects.create_user("carl", password="correct horse battery", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_payment"))
    client.force_login(clerk)
    target = page("payment_reverse_payment", kept.pk)
    assert client.get(page("payment_change", kept.pk)).status_code == 200
    assert client.post(target, {"reason": "x", "_form_submitted": "1"}).status_code == 403
    assert client.get(page("payment_add")).status_code == 403


def test_an_entry_shows_its_postings_and_cannot_be_written(office: Client, invoice: Invoice) -> None:
    entry = Entry.objects.get()
    shown = office.get(page("entry_change", entry.pk)).text
    for figure in ("2,856.00", "2,400.00", "456.00"):
        assert figure in shown
    assert page("entry_trial_balance") in office.get(page("entry_changelist")).text
    assert office.get(page("entry_add")).status_code == 403
    assert office.post(page("entry_change", entry.pk), {"memo": "x"}).status_code == 403
    assert office.post(page("entry_delete", entry.pk), {"post": "yes"}).status_code == 403


def cells(answer: Any) -> list[str]:
    return re.findall(r"<td[^>]*>(.*?)</td>", answer.text)


def test_the_trial_balance_shows_each_account_by_currency_and_sums_to_zero(
    office: Client, invoice: Invoice, olga: User
) -> None:
    payments.record(payment(invoice, olga, "856"))
    answer = office.get(page("entry_trial_balance"))
    assert "debits and credits are equal" in answer.text
    assert cells(answer) == [
        *("receivable", "2,856.00", "856.00", "2,000.00"),
        *("revenue", "0.00", "2,400.00", "-2,400.00"),
        *("tax", "0.00", "456.00", "-456.00"),
        *("cash", "856.00", "0.00", "856.00"),
        *("sum", "3,712.00", "3,712.00", "0.00"),
    ]


def test_the_trial_balance_of_a_day_holds_what_had_occurred(office: Client, invoice: Invoice, olga: User) -> None:
    payments.record(payment(invoice, olga, "856"))  # Received on 20 November, before the invoice of 1 December.
    answer = office.get(page("entry_trial_balance"), {"at": "2026-11-20"})
    assert cells(answer)[:4] == ["receivable", "0.00", "856.00", "-856.00"]
    assert (
        "Nothing was booked until the end of 2026-11-19"
        in office.get(page("entry_trial_balance"), {"at": "2026-11-19"}).text
    )
    assert "Enter a valid date." in office.get(page("entry_trial_balance"), {"at": "someday"}).text


def test_staff_without_the_permission_see_no_trial_balance(client: Client, db: None) -> None:
    clerk = User.objects.create_user("carl", password="correct horse battery", is_staff=True)
    client.force_login(clerk)
    assert client.get(page("entry_trial_balance")).status_code == 403
    clerk.user_permissions.add(Permission.objects.get(codename="view_entry"))
    assert client.get(page("entry_trial_balance")).status_code == 200
