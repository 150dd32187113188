"""Four roles of the operator's people: what each may see and do, at the pages and at the API."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from drf_spectacular.generators import EndpointEnumerator
from drf_spectacular.views import SpectacularAPIView
from rest_framework.test import APIClient

from billing.models import Payment, PriceBook, Seller
from config import roles
from config.roles import PACKAGES, ROLES
from metering import alerts
from metering.models import Alert
from tenants.models import ApiKey, Budget, Limit, Project, Tenant
from tenants.permissions import ByRole, StaffByRole, table_of
from tests.conftest import Person, calling

OURS = sorted(table._meta.label_lower for table in admin.site._registry if table._meta.app_label in PACKAGES)
MAY = {
    "operator": {Tenant, ApiKey, Project, Limit, Budget},
    "finance": {Seller, PriceBook, Payment, Budget},
    "support": {ApiKey, Limit},
    "read-only": set(),
}
DEEDS = [
    ("post", "/api/payments/", "finance"),
    ("post", "/api/invoices/close/", "finance"),
    ("post", "/api/backfills/?tenant=acme", "operator"),
    ("post", "/api/usage-events/?tenant=acme", "operator"),
]
SIGHTS = ["/api/usage/", "/api/events/", "/api/invoices/", "/api/payments/", "/api/price-books/", "/api/pool-hours/"]


def employee(role: str | None) -> User:
    """One of the operator's people with this role, or with none."""
    if not Group.objects.filter(name="read-only").exists():
        roles.make()
    user, _ = User.objects.get_or_create(username=f"eve of {role}", is_staff=True)
    user.groups.set(Group.objects.filter(name=role))
    return user


def browser(role: str | None) -> Client:
    client = Client()
    client.force_login(employee(role))
    return client


def api(role: str | None) -> APIClient:
    client = APIClient()
    client.force_authenticate(employee(role))
    return client


def page(table: str, deed: str) -> str:
    return reverse(f"admin:{table.replace('.', '_')}_{deed}")


@pytest.mark.django_db
@pytest.mark.parametrize("role", ROLES)
def test_every_role_sees_every_list_of_ours_and_none_of_the_people(role: str) -> None:
    client = browser(role)
    assert {table: client.get(page(table, "changelist")).status_code for table in OURS} == dict.fromkeys(OURS, 200)
    assert client.get(page("auth.user", "changelist")).status_code == 403
    assert client.get(page("auth.group", "changelist")).status_code == 403


@pytest.mark.django_db
@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_add_what_is_its_own_and_nothing_else(role: str) -> None:
    client = browser(role)
    asked = set().union(*MAY.values()) - {Project}
    found = {table for table in asked if client.get(page(table._meta.label_lower, "add")).status_code == 200}
    assert found == MAY[role] - {Project}


@pytest.mark.django_db
def test_who_only_reads_can_add_nothing_anywhere() -> None:
    client = browser("read-only")
    assert {table: client.get(page(table, "add")).status_code for table in OURS} == dict.fromkeys(OURS, 403)


@pytest.mark.parametrize(
    ("role", "status"), [("operator", "suspended"), ("finance", "suspended"), ("support", "active")]
)
def test_a_tenant_is_suspended_by_those_who_may_change_it(alice: Person, role: str, status: str) -> None:
    browser(role).post("/admin/tenants/tenant/", {"action": "suspend", "_selected_action": [alice.tenant.pk]})
    assert Tenant.objects.get(pk=alice.tenant.pk).status == status


@pytest.mark.parametrize(("role", "revoked"), [("operator", True), ("support", True), ("finance", False)])
def test_a_key_is_revoked_by_those_who_may_change_it(alice: Person, role: str, revoked: bool) -> None:
    browser(role).post("/admin/tenants/apikey/", {"action": "revoke", "_selected_action": [alice.key.pk]})
    assert (ApiKey.objects.get(pk=alice.key.pk).revoked_at is not None) == revoked


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("role", "closed"), [("operator", True), ("support", True), ("finance", False), ("read-only", False)]
)
def test_an_alert_is_closed_by_those_whom_it_concerns(role: str, closed: bool) -> None:
    alerts.raise_alert("journal_late", "gateway-1", "It is late.")
    client = browser(role)
    client.post("/admin/metering/alert/", {"action": "resolve", "_selected_action": [Alert.objects.get().pk]})
    assert (Alert.objects.get().resolved_at is not None) == closed


@pytest.mark.parametrize(("method", "path", "role"), DEEDS)
def test_a_deed_of_the_api_is_for_its_role_alone(alice: Person, method: str, path: str, role: str) -> None:
    for other in [*(each for each in ROLES if each != role), None]:
        assert getattr(api(other), method)(path, {}, format="json").status_code == 403, other
    assert getattr(api(role), method)(path, {}, format="json").status_code != 403


@pytest.mark.parametrize("path", SIGHTS)
def test_every_role_reads_the_api_and_staff_without_one_does_not(alice: Person, path: str) -> None:
    asked = f"{path}?from=2026-11-01T00:00:00Z&to=2026-12-01T00:00:00Z"
    assert {role: api(role).get(asked).status_code for role in ROLES} == dict.fromkeys(ROLES, 200)
    assert api(None).get(asked).status_code == 403


def test_members_and_keys_read_their_own_as_before(alice: Person) -> None:
    asked = "?from=2026-11-01T00:00:00Z&to=2026-12-01T00:00:00Z"
    for path in ("/api/usage/", "/api/events/", "/api/invoices/"):
        assert calling(alice).get(path + asked).status_code == 200
    for path in ("/api/payments/", "/api/price-books/", "/api/pool-hours/"):
        assert calling(alice).get(path + asked).status_code == 403


def test_every_view_of_the_api_asks_for_a_role_and_says_for_what() -> None:
    endpoints = EndpointEnumerator().get_api_endpoints()  # type: ignore[no-untyped-call]  # It carries no types.
    views = {callback.cls for _, _, _, callback in endpoints} - {SpectacularAPIView}
    assert views
    assert [view for view in views if not issubclass(view.permission_classes[0], ByRole)] == []
    assert [view for view in views if table_of(view) is None] == []
    assert issubclass(StaffByRole, ByRole)


@pytest.mark.django_db
def test_a_migration_sets_the_roles_as_the_table_says() -> None:
    roles.make()
    Group.objects.get(name="read-only").permissions.set(Group.objects.get(name="finance").permissions.all())
    roles.make_all(plan=[])
    reader = Group.objects.get(name="read-only")
    assert reader.permissions.exists()
    assert not reader.permissions.exclude(codename__startswith="view_").exists()
