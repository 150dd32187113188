"""Staff record payments, tenants see what is open."""

from datetime import date
from typing import Any

import pytest
from rest_framework.test import APIClient

from billing import closing
from billing.models import Entry, Invoice, Payment
from tests.billing.samples import DECEMBER, NOVEMBER, add_usage
from tests.conftest import Person, calling

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("billing.urls")]


@pytest.fixture
def invoice(priced: Person) -> Invoice:
    add_usage(priced.project, NOVEMBER, "output", 10_000_000)
    return closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)


def received(invoice: Invoice, /, **fields: object) -> dict[str, Any]:
    given = {"invoice": invoice.pk, "amount": "28.56", "currency": "USD", "received_on": "2026-11-20"}
    return {**given, "reference": "transfer 17", **fields}


def test_staff_record_a_payment_and_the_tenant_sees_its_invoice_paid(
    invoice: Invoice, priced: Person, staff: APIClient
) -> None:
    tenant = calling(priced)
    shown = tenant.get(f"/invoices/{invoice.pk}/").json()
    assert (shown["open_amount"], shown["is_paid"]) == ("28.56", False)
    answer = staff.post("/payments/", received(invoice), format="json")
    assert answer.status_code == 201
    assert {name: answer.json()[name] for name in ("invoice", "amount", "reference", "recorded_by", "reversed_at")} == {
        "invoice": invoice.pk,
        "amount": "28.56",
        "reference": "transfer 17",
        "recorded_by": "olga",
        "reversed_at": None,
    }
    [row] = tenant.get("/invoices/").json()["results"]
    assert (row["open_amount"], row["is_paid"]) == ("0.00", True)
    assert staff.get("/payments/").json()["results"] == [answer.json()]
    assert staff.get(f"/payments/{answer.json()['id']}/").json() == answer.json()


def test_a_payment_sent_twice_is_a_conflict_and_recorded_once(invoice: Invoice, staff: APIClient) -> None:
    staff.post("/payments/", received(invoice, amount="1.00"), format="json")
    again = staff.post("/payments/", received(invoice, amount="1.00"), format="json")
    assert (again.status_code, list(again.json())) == (409, ["reference"])
    assert "TW-2026-000001 has a payment by the reference transfer 17 already" in again.json()["reference"][0]
    assert Payment.objects.count() == 1


def test_staff_reverse_a_payment_once(invoice: Invoice, staff: APIClient) -> None:
    kept = staff.post("/payments/", received(invoice), format="json").json()["id"]
    answer = staff.post(f"/payments/{kept}/reverse/", {"reason": "returned"}, format="json")
    assert answer.status_code == 200
    assert (answer.json()["reversed_by"], answer.json()["reversal_reason"]) == ("olga", "returned")
    assert staff.get(f"/invoices/{invoice.pk}/").json()["open_amount"] == "28.56"
    again = staff.post(f"/payments/{kept}/reverse/", {"reason": "returned"}, format="json")
    assert (again.status_code, again.json()) == (409, {"non_field_errors": ["The payment was reversed before."]})


@pytest.mark.parametrize(
    ("fields", "status", "field"),
    [
        ({"invoice": 0}, 400, "invoice"),
        ({"amount": "much"}, 400, "amount"),
        ({"amount": "1" * 40}, 400, "amount"),
        ({"amount": "NaN"}, 400, "amount"),
        ({"currency": "dollars"}, 400, "currency"),
        ({"received_on": "yesterday"}, 400, "received_on"),
        ({"reference": " "}, 400, "reference"),
        ({"reference": "x" * 141}, 400, "reference"),
        ({"amount": "28.57"}, 409, "amount"),
        ({"amount": "0.001"}, 409, "amount"),
        ({"amount": "-1"}, 409, "amount"),
        ({"currency": "EUR"}, 409, "currency"),
        ({"received_on": "9999-12-31"}, 409, "received_on"),
    ],
)
def test_a_payment_that_cannot_be_is_refused_by_field(
    invoice: Invoice, staff: APIClient, fields: dict[str, object], status: int, field: str
) -> None:
    answer = staff.post("/payments/", received(invoice, **fields), format="json")
    assert (answer.status_code, list(answer.json())) == (status, [field])
    assert (Payment.objects.count(), Entry.objects.count()) == (0, 1)


def test_a_reversal_wants_a_payment_and_a_reason(invoice: Invoice, staff: APIClient) -> None:
    kept = staff.post("/payments/", received(invoice), format="json").json()["id"]
    assert list(staff.post(f"/payments/{kept}/reverse/", {}, format="json").json()) == ["reason"]
    assert staff.post("/payments/999999/reverse/", {"reason": "returned"}, format="json").status_code == 404


def test_a_draft_has_nothing_open_and_takes_no_payment(priced: Person, staff: APIClient, monkeypatch: Any) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    monkeypatch.setattr(closing, "finalise", lambda pk, now: Invoice.objects.get(pk=pk))
    draft = closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)
    shown = staff.get(f"/invoices/{draft.pk}/").json()
    assert (shown["open_amount"], shown["is_paid"]) == (None, False)
    answer = staff.post("/payments/", received(draft), format="json")
    assert (answer.status_code, list(answer.json())) == (409, ["invoice"])


def test_payments_are_for_staff_and_never_change(invoice: Invoice, priced: Person, staff: APIClient) -> None:
    tenant = calling(priced)
    assert tenant.get("/payments/").status_code == tenant.post("/payments/", received(invoice)).status_code == 403
    assert APIClient().get("/payments/").status_code == 401
    kept = staff.post("/payments/", received(invoice), format="json").json()["id"]
    for method in (staff.put, staff.patch, staff.delete):
        assert method(f"/payments/{kept}/").status_code == 405
