"""Staff fill and refund wallets and settle invoices; tenants see their own, and their members claim grants."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from billing import closing
from billing.models import Programme, Settlement, TopUpOrder, WalletCredit, WalletDraw
from tests.billing.samples import DECEMBER, NOVEMBER, add_usage
from tests.conftest import Person, calling

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("billing.urls")]


def credit(person: Person, **fields: Any) -> dict[str, Any]:
    return {"tenant": person.tenant.slug, "amount": "30", "note": "transfer 17", **fields}


def as_person(person: Person) -> APIClient:
    client = APIClient()
    client.force_authenticate(person.user)
    return client


def test_staff_fill_a_wallet_and_its_tenant_sees_what_it_holds_and_what_was_drawn(
    priced: Person, mallory: Person, staff: APIClient
) -> None:
    answer = staff.post("/wallet-credits/", credit(priced, offerings=["llama-3.3-70b"]), format="json")
    assert answer.status_code == 201
    shown = answer.json()
    assert (shown["kind"], shown["amount"], shown["left"], shown["currency"]) == ("bought", "30", "30", "USD")
    add_usage(priced.project, NOVEMBER, "output", 10_000_000)
    invoice = closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)
    tenant = calling(priced)
    assert tenant.get("/wallets/").json()["results"] == [
        {"tenant": "acme", "currency": "USD", "bought": "1.44", "granted": "0", "affordable": None}
    ]
    [row] = tenant.get("/wallet-credits/").json()["results"]
    assert (row["id"], row["left"]) == (shown["id"], "1.44")
    [draw] = tenant.get("/wallet-draws/").json()["results"]
    assert (draw["kind"], draw["amount"], draw["invoice"]) == ("use", "28.56", invoice.number)
    other = calling(mallory)
    assert [row["tenant"] for row in other.get("/wallets/").json()["results"]] == ["mallory"]
    for path in ("/wallet-credits/", "/wallet-draws/", "/top-up-orders/"):
        assert other.get(path).json()["results"] == []
    assert other.get(f"/wallet-credits/{shown['id']}/").status_code == 404


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"amount": "0"}, "amount"), ({"amount": "0.001"}, "amount"), ({"expires_at": "2020-01-01T00:00Z"}, "expires_at")],
)
def test_a_credit_that_cannot_be_is_refused_with_its_field(
    priced: Person, staff: APIClient, fields: dict[str, str], field: str
) -> None:
    answer = staff.post("/wallet-credits/", credit(priced, **fields), format="json")
    assert answer.status_code == 409
    assert list(answer.json()) == [field]
    assert not WalletCredit.objects.exists()


def test_staff_refund_what_is_left_and_not_more(priced: Person, staff: APIClient) -> None:
    pk = staff.post("/wallet-credits/", credit(priced), format="json").json()["id"]
    answer = staff.post(f"/wallet-credits/{pk}/refund/", {"amount": "31", "reason": "leaves"}, format="json")
    assert (answer.status_code, list(answer.json())) == (409, ["amount"])
    answer = staff.post(f"/wallet-credits/{pk}/refund/", {"amount": "12.5", "reason": "leaves"}, format="json")
    assert (answer.status_code, answer.json()["left"]) == (200, "17.5")


def test_tenants_fill_refund_cancel_and_settle_nothing(priced: Person, staff: APIClient) -> None:
    pk = staff.post("/wallet-credits/", credit(priced), format="json").json()["id"]
    for client in (calling(priced), as_person(priced)):
        assert client.post("/wallet-credits/", credit(priced), format="json").status_code == 403
        assert client.post(f"/wallet-credits/{pk}/refund/", {"amount": "1", "reason": "x"}).status_code == 403
        assert client.post("/top-up-orders/1/cancel/").status_code == 403
        assert client.get("/settlements/").status_code == 403
    assert not WalletDraw.objects.exists()


def test_an_order_is_paid_by_the_credit_that_names_it_and_once(priced: Person, staff: APIClient) -> None:
    now = timezone.now()
    order = TopUpOrder.objects.create(
        tenant=priced.tenant, amount=30, currency="USD", affordable=1, recipient="a@b.example", created_at=now,
        next_attempt_at=now,
    )  # fmt: skip
    assert calling(priced).get("/top-up-orders/").json()["results"][0]["reference"] == f"TOPUP-{order.pk}"
    assert staff.post("/wallet-credits/", credit(priced, order=order.pk), format="json").status_code == 201
    answer = staff.post("/wallet-credits/", credit(priced, order=order.pk), format="json")
    assert (answer.status_code, list(answer.json())) == (409, ["order"])
    assert staff.post(f"/top-up-orders/{order.pk}/cancel/").status_code == 409


def programme(**fields: Any) -> Programme:
    given = {"slug": "right", "name": "Right to compute", "currency": "USD", "pool": 15, "amount": 10}
    return Programme.objects.create(**{**given, "opens_at": timezone.now() - timedelta(days=3), **fields})


def test_a_member_claims_its_tenants_grant_once(alice: Person, bob: Person, mallory: Person) -> None:
    programme()
    answer = as_person(bob).post("/programmes/right/claim/", {"tenant": "acme"}, format="json")
    assert answer.status_code == 201
    assert (answer.json()["kind"], answer.json()["left"], answer.json()["programme"]) == ("granted", "10", "right")
    answer = as_person(alice).post("/programmes/right/claim/", {"tenant": "acme"}, format="json")
    assert (answer.status_code, list(answer.json())) == (409, ["tenant"])
    answer = as_person(mallory).post("/programmes/right/claim/", {"tenant": "mallory"}, format="json")
    assert (answer.status_code, list(answer.json())) == (409, ["programme"])  # The pool holds 5 more.


def test_nobody_claims_for_another_tenant_nor_with_a_key(alice: Person, mallory: Person, staff: APIClient) -> None:
    programme()
    assert as_person(mallory).post("/programmes/right/claim/", {"tenant": "acme"}).status_code == 400
    assert calling(alice).post("/programmes/right/claim/", {"tenant": "acme"}).status_code == 403
    assert not WalletCredit.objects.exists()
    assert staff.post("/programmes/right/claim/", {"tenant": "acme"}).status_code == 201


def test_programmes_are_shown_to_those_they_are_for(alice: Person, mallory: Person, staff: APIClient) -> None:
    programme()
    programme(slug="named").tenants.add(alice.tenant)
    programme(slug="over", closes_at=timezone.now() - timedelta(days=1))

    def shown(client: APIClient) -> list[str]:
        return [row["slug"] for row in client.get("/programmes/").json()["results"]]

    assert shown(calling(alice)) == shown(staff) == ["named", "right"]
    assert shown(calling(mallory)) == ["right"]


def test_staff_write_off_what_is_open_and_not_more(priced: Person, staff: APIClient) -> None:
    add_usage(priced.project, NOVEMBER, "output", 10_000_000)
    invoice = closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)
    loss = {"invoice": invoice.pk, "kind": "write_off", "amount": "28.57", "currency": "USD"}
    loss |= {"occurred_on": "2026-11-20", "reference": "insolvent"}
    for changed, field in (
        ({}, "amount"),
        ({"currency": "EUR"}, "amount"),
        ({"occurred_on": "2199-01-01"}, "occurred_on"),
    ):
        answer = staff.post("/settlements/", {**loss, **changed}, format="json")
        assert (answer.status_code, list(answer.json())) == (409, [field])
    assert not Settlement.objects.exists()
    assert staff.post("/settlements/", {**loss, "amount": "20"}, format="json").status_code == 201
    answer = staff.post("/settlements/", {**loss, "amount": "1"}, format="json")
    assert (answer.status_code, list(answer.json())) == (409, ["reference"])
    assert staff.get(f"/invoices/{invoice.pk}/").json()["open_amount"] == "8.56"


def test_a_refund_pays_back_what_the_tenant_is_owed_and_not_more(priced: Person, staff: APIClient) -> None:
    add_usage(priced.project, NOVEMBER, "output", 10_000_000)
    invoice = closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)
    back = {"invoice": invoice.pk, "kind": "refund", "amount": "1", "currency": "USD", "occurred_on": "2026-11-20"}
    answer = staff.post("/settlements/", {**back, "reference": "A"}, format="json")
    assert (answer.status_code, list(answer.json())) == (409, ["amount"])
    assert "0 USD of TW-2026-000001 is owed to the tenant" in answer.json()["amount"][0]
