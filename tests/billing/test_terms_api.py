"""Staff write terms, give tenants plans with them, and redeem coupons, by the API."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from billing.models import Coupon, Plan, PlanTerms, PriceBook, Redemption
from tests.conftest import Person, calling

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("billing.urls")]

TEAM: dict[str, Any] = {
    "name": "Team",
    "currency": "USD",
    "fee": "49.00",
    "commitment": "1200.00",
    "included": [{"unit": "output", "quantity": 1_000_000}],
}
PLAN = {"tenant": "acme", "price_book": "standard", "terms": "Team", "starts_at": "2027-01-31T23:00:00Z"}


def test_staff_write_terms_and_give_a_tenant_a_plan_with_them(priced: Person, staff: APIClient) -> None:
    answer = staff.post("/plan-terms/", TEAM, format="json")
    assert answer.status_code == 201
    shown = staff.get(f"/plan-terms/{answer.json()['id']}/").json()
    assert (shown["name"], shown["fee_months"], shown["commitment_months"]) == ("Team", 1, 12)
    assert shown["included"] == [{"offering": "", "unit": "output", "quantity": 1_000_000}]
    answer = staff.post("/plans/", PLAN, format="json")
    assert answer.status_code == 201
    assert {**answer.json(), "id": 0} == {**PLAN, "id": 0}
    assert Plan.objects.get(terms__name="Team").tenant == priced.tenant


def test_terms_that_nobody_could_keep_are_refused_by_field(staff: APIClient) -> None:
    for given, field in (
        ({"currency": ""}, "currency"),
        ({"fee": "0.001"}, "fee"),
        ({"minimum": "10", "maximum": "5"}, "non_field_errors"),
        ({"included": [{"unit": "output", "quantity": 0}]}, "included"),
    ):
        answer = staff.post("/plan-terms/", {**TEAM, **given}, format="json")
        assert (answer.status_code, list(answer.json())) == (400, [field])
    assert not PlanTerms.objects.exists()


def test_a_plan_in_another_currency_is_a_conflict(priced: Person, book: PriceBook, staff: APIClient) -> None:
    staff.post("/plan-terms/", {**TEAM, "currency": "EUR"}, format="json")
    answer = staff.post("/plans/", PLAN, format="json")
    assert (answer.status_code, list(answer.json())) == (409, ["currency"])
    answer = staff.post("/plans/", {**PLAN, "terms": None, "starts_at": "2027-01-31T23:07:00Z"}, format="json")
    assert (answer.status_code, list(answer.json())) == (400, ["starts_at"])
    assert Plan.objects.count() == 1


def test_staff_redeem_a_coupon_once(priced: Person, staff: APIClient) -> None:
    refused = staff.post("/coupons/", {"code": "HALF", "name": "Half", "percent": "50", "amount": "5"}, format="json")
    assert refused.status_code == 400
    staff.post("/coupons/", {"code": "HALF", "name": "Half", "percent": "50", "months": 3}, format="json")
    asked = {"tenant": "acme", "coupon": "HALF", "first_month": "2027-01-15"}
    answer = staff.post("/redemptions/", asked, format="json")
    assert (answer.status_code, answer.json()["first_month"]) == (201, "2027-01-01")
    again = staff.post("/redemptions/", asked, format="json")
    assert (again.status_code, list(again.json())) == (409, ["coupon"])
    assert (Coupon.objects.count(), Redemption.objects.count()) == (1, 1)


@pytest.mark.parametrize("path", ["/plan-terms/", "/plans/", "/coupons/", "/redemptions/"])
def test_tenants_neither_see_nor_make_what_staff_agree_to(priced: Person, path: str) -> None:
    tenant = calling(priced)
    assert (tenant.get(path).status_code, tenant.post(path, {}, format="json").status_code) == (403, 403)
