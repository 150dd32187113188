"""What tenants and staff see of prices and invoices."""

import re
from datetime import date
from typing import Any

import pytest
from rest_framework.test import APIClient

from billing import closing
from billing.models import Invoice
from tests.billing.samples import DECEMBER, LLAMA, NOVEMBER, YEAR, add_usage
from tests.conftest import Person, calling

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("billing.urls")]


@pytest.fixture
def invoice(priced: Person) -> Invoice:
    add_usage(priced.project, NOVEMBER, "input_uncached", 18_059_974)
    return closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)


def test_a_tenant_lists_its_invoices(invoice: Invoice, priced: Person) -> None:
    [row] = calling(priced).get("/invoices/").json()["results"]
    assert row == {
        "id": invoice.pk,
        "number": "TW-2026-000001",
        "kind": "invoice",
        "corrects": None,
        "reason": "",
        "status": "final",
        "tenant": "acme",
        "month": "2026-11-01",
        "issued_on": "2026-12-01",
        "due_on": "2026-12-15",
        "currency": "USD",
        "net": "10.84",
        "tax": "2.06",
        "gross": "12.90",
        "prepaid": "0.00",
        "open_amount": "12.90",
        "is_paid": False,
    }


def test_an_invoice_shows_its_lines_and_parties(invoice: Invoice, priced: Person) -> None:
    shown = calling(priced).get(f"/invoices/{invoice.pk}/").json()
    assert shown["buyer"]["legal_name"] == "Acme GmbH"
    assert shown["seller"]["tax_number"] == "DE811907980"
    assert shown["service_end"] == "2026-11-30T23:00:00Z"
    assert shown["taxes"] == [{"category": "S", "rate_percent": "19.00", "net": "10.84", "tax": "2.06", "reason": ""}]
    [line] = shown["lines"]
    assert line["description"] == f"{LLAMA}, input tokens"
    assert (line["quantity"], line["unit_amount"], line["per"], line["amount"]) == (
        18_059_974,
        "0.6",
        1_000_000,
        "10.84",
    )


def test_a_pdf_is_a_pdf_whatever_is_accepted(invoice: Invoice, priced: Person) -> None:
    for accept in ("*/*", "application/pdf", "application/json"):
        answer = calling(priced).get(f"/invoices/{invoice.pk}/pdf/", headers={"accept": accept})
        assert (answer.status_code, answer["Content-Type"]) == (200, "application/pdf")
        assert answer.content.startswith(b"%PDF")
    assert answer["Content-Disposition"] == 'inline; filename="TW-2026-000001.pdf"'


@pytest.mark.parametrize("path", ["", "pdf/"])
def test_mallory_finds_no_invoice_of_acme(invoice: Invoice, mallory: Person, path: str) -> None:
    client = calling(mallory)
    assert client.get("/invoices/").json()["results"] == []
    assert client.get(f"/invoices/{invoice.pk}/{path}", headers={"accept": "application/pdf"}).status_code in (404, 406)
    assert client.get(f"/invoices/{invoice.pk}/{path}").status_code == 404
    client.force_authenticate(mallory.user)
    assert client.get(f"/invoices/{invoice.pk}/{path}").status_code == 404


@pytest.mark.parametrize("path", ["invoices/", "invoices/1/", "invoices/1/pdf/", "price-books/"])
def test_nobody_sees_anything_without_a_credential(invoice: Invoice, path: str) -> None:
    assert APIClient().get(f"/{path}").status_code == 401


def test_a_member_sees_what_the_key_sees(invoice: Invoice, bob: Person) -> None:
    client = APIClient()
    client.force_authenticate(bob.user)
    assert client.get(f"/invoices/{invoice.pk}/").status_code == 200


def test_a_draft_is_shown_to_staff_only_and_has_no_pdf(priced: Person, staff: APIClient, monkeypatch: Any) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    with monkeypatch.context() as patch:
        patch.setattr(closing, "finalise", lambda pk, now: Invoice.objects.get(pk=pk))
        draft = closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)
    assert calling(priced).get(f"/invoices/{draft.pk}/").status_code == 404
    assert staff.get(f"/invoices/{draft.pk}/").json()["status"] == "draft"
    refusal = staff.get(f"/invoices/{draft.pk}/pdf/")
    assert (refusal.status_code, list(refusal.json())) == (409, ["status"])


@pytest.mark.parametrize("number", ["0", "999999", "9" * 40])
def test_an_unknown_invoice_is_not_found(staff: APIClient, number: str) -> None:
    assert staff.get(f"/invoices/{number}/").status_code == 404


def test_staff_close_a_month_and_close_it_again(priced: Person, staff: APIClient) -> None:
    add_usage(priced.project, YEAR, "output", 1_000_000)
    first = staff.post("/invoices/close/", {"tenant": "acme", "month": "2026-01"}, format="json")
    assert first.status_code == 200
    assert re.fullmatch(r"TW-\d{4}-000001", first.json()["number"])
    again = staff.post("/invoices/close/", {"tenant": "acme", "month": "2026-01"}, format="json")
    assert again.json() == first.json()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tenant": "nobody", "month": "2026-01"}, "tenant"),
        ({"tenant": "acme", "month": "2026-13"}, "month"),
        ({"tenant": "acme", "month": "2026-01", "early": "perhaps"}, "early"),
        ({"tenant": "acme"}, "month"),
        ({"month": "2026-01"}, "tenant"),
        ({"tenant": None, "month": None}, "tenant"),
        ([], "non_field_errors"),
    ],
)
def test_a_closing_that_makes_no_sense_is_refused_with_its_field(
    priced: Person, staff: APIClient, body: object, field: str
) -> None:
    answer = staff.post("/invoices/close/", body, format="json")
    assert answer.status_code == 400
    assert field in answer.json()
    assert not Invoice.objects.exists()


def test_a_closing_that_is_refused_is_a_conflict_with_its_reason(priced: Person, staff: APIClient) -> None:
    answer = staff.post("/invoices/close/", {"tenant": "acme", "month": "2098-01", "early": True}, format="json")
    assert answer.status_code == 409
    assert answer.json()["month"][0].startswith("2098-01 ends at 2098-01-31 23:00 UTC")


def test_a_tenant_closes_nothing_and_sees_no_price_books(priced: Person) -> None:
    client = calling(priced)
    assert client.post("/invoices/close/", {"tenant": "acme", "month": "2026-01"}, format="json").status_code == 403
    assert client.get("/price-books/").status_code == 403


def test_staff_read_price_books_with_their_versions_and_rates(priced: Person, staff: APIClient) -> None:
    [book] = staff.get("/price-books/").json()["results"]
    assert staff.get("/price-books/standard/").json() == book
    [version] = book["versions"]
    assert (book["currency"], version["valid_from"]) == ("USD", "2026-01-01T00:00:00Z")
    of_input = {"offering": LLAMA, "unit": "input_uncached", "amount": "0.6", "per": 1_000_000, "kind": "per_unit"}
    of_all = {"grade": "any", "service_tier": "standard", "above": [], "amounts_above": []}
    assert {**of_input, **of_all} in version["rates"]
    assert staff.get("/price-books/nothing/").status_code == 404


def test_invoices_cannot_be_written(invoice: Invoice, staff: APIClient) -> None:
    for method in (staff.put, staff.patch, staff.delete):
        assert method(f"/invoices/{invoice.pk}/").status_code == 405
    assert staff.post("/invoices/").status_code == 405
