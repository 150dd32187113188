"""Staff start closing runs, and approve what was parked, by the API."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from rest_framework.test import APIClient

from billing import closing, runs
from billing.models import ClosingItem, Invoice
from tenants.models import Tenant
from tests.billing.samples import YEAR, add_usage
from tests.conftest import Person, calling

pytestmark = pytest.mark.django_db(transaction=True)

MARCH = YEAR.replace(month=3, day=3)


@pytest.fixture(autouse=True)
def founded_long_ago(priced: Person) -> None:
    Tenant.objects.update(created_at=YEAR)


def start(client: APIClient, month: str, **given: Any) -> Any:
    return client.post("/api/closing-runs/", {"month": month, **given}, format="json")


def test_staff_start_a_run_and_see_how_far_it_is(priced: Person, staff: APIClient) -> None:
    add_usage(priced.project, YEAR, "output", 1_000_000)
    run = start(staff, "2026-01", grace_hours=5).json()
    assert (run["month"], run["grace_hours"], run["started_by"]) == ("2026-01", 5, "olga")
    assert run["progress"] == {"pending": 1}
    runs.work()
    assert staff.get(f"/api/closing-runs/{run['id']}/").json()["progress"] == {"done": 1}
    [item] = staff.get("/api/closing-items/", {"run": run["id"], "state": "done"}).json()["results"]
    assert (item["tenant"], item["month"], item["invoice"]) == ("acme", "2026-01", Invoice.objects.get().pk)
    assert staff.get("/api/closing-items/", {"state": "parked"}).json()["results"] == []


def test_staff_approve_what_was_parked(priced: Person, staff: APIClient) -> None:
    add_usage(priced.project, YEAR, "output", 4_000_000)
    closing.close(priced.tenant, date(2026, 1, 1))
    add_usage(priced.project, MARCH, "output", 400_000_000)
    start(staff, "2026-03")
    runs.work()
    [item] = staff.get("/api/closing-items/", {"state": "parked"}).json()["results"]
    assert (item["parked_for"], item["approved_by"]) == ("jump", None)
    approved = staff.post(f"/api/closing-items/{item['id']}/approve/").json()
    assert (approved["state"], approved["approved_by"]) == ("pending", "olga")
    runs.work()
    assert Invoice.objects.get(ordinal=2).gross == Decimal("1142.40")
    again = staff.post(f"/api/closing-items/{item['id']}/approve/")
    assert (again.status_code, again.json()) == (409, {"state": ["2026-03 of acme is Done, and not parked."]})


def test_staff_try_again_what_they_mended(priced: Person, staff: APIClient) -> None:
    add_usage(priced.project, YEAR, "output", 1_000_000)
    Tenant.objects.filter(pk=priced.tenant.pk).update(country="")
    start(staff, "2026-01")
    runs.work()
    item = ClosingItem.objects.get()
    assert staff.post(f"/api/closing-items/{item.pk}/approve/").status_code == 409
    Tenant.objects.filter(pk=priced.tenant.pk).update(country="DE")
    assert staff.post(f"/api/closing-items/{item.pk}/retry/").json()["state"] == "pending"
    runs.work()
    assert Invoice.objects.get().number is not None


@pytest.mark.parametrize(
    ("asked", "status", "field"),
    [
        ({"month": "soon"}, 400, "month"),
        ({"month": "2026-01", "grace_hours": -1}, 400, "grace_hours"),
        ({"month": "2998-01"}, 409, "month"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(
    priced: Person, staff: APIClient, asked: dict[str, Any], status: int, field: str
) -> None:
    answer = start(staff, **asked)
    assert (answer.status_code, list(answer.json())) == (status, [field])
    assert staff.get("/api/closing-items/", {"run": "x"}).status_code == 400


def test_tenants_have_no_part_in_it(priced: Person) -> None:
    assert start(calling(priced), "2026-01").status_code == 403
    assert calling(priced).get("/api/closing-items/").status_code == 403
