import re

import pytest
from django.test import Client

from tenants import keys
from tenants.models import ApiKey, Member, Tenant
from tests.conftest import Person

ACME = {
    "slug": "acme",
    "name": "Acme",
    "currency": "EUR",
    "time_zone": "Europe/Berlin",
    "legal_name": "Acme GmbH",
    "address_lines": "Musterstraße 1\n10115 Berlin",
    "country": "DE",
    "tax_number": "DE136695976",
    "tax_rate_percent": "19.00",
    "tax_note": "",
    "invoice_email": "billing@acme.example",
    "language": "en",
    "when_counters_away": "refuse",
}


def secret_on(page: str) -> str:
    found = re.search(r"sk-tw-[\w-]{43}", page)
    assert found, "the page shows no key"
    return found.group()


def test_a_new_tenant_comes_with_a_project_and_a_key_that_is_shown_once(office: Client) -> None:
    response = office.post("/admin/tenants/tenant/add/", ACME)
    secret = secret_on(response.content.decode())
    assert "no-store" in response["Cache-Control"]
    key = ApiKey.objects.get(project__tenant__slug="acme")
    assert bytes(key.digest) == keys.digest(secret)
    for address in ("/admin/tenants/tenant/", "/admin/tenants/apikey/", f"/admin/tenants/apikey/{key.pk}/change/"):
        assert secret not in office.get(address).content.decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("currency", "euro"),
        ("time_zone", "Berlin"),
        ("country", "Germany"),
        ("tax_rate_percent", "-1"),
        ("slug", "a b"),
    ],
)
def test_a_tenant_with_a_nonsensical_field_is_refused_by_name(office: Client, field: str, value: str) -> None:
    response = office.post("/admin/tenants/tenant/add/", {**ACME, field: value})
    assert field in response.context["adminform"].form.errors
    assert not Tenant.objects.exists()


def test_another_key_can_be_issued_for_a_project(office: Client, alice: Person) -> None:
    response = office.post("/admin/tenants/apikey/add/", {"project": alice.project.pk, "name": "batch"})
    assert ApiKey.objects.get(name="batch").digest == keys.digest(secret_on(response.content.decode()))


def test_suspending_and_reactivating_is_one_action_each(office: Client, alice: Person) -> None:
    for action, status in (("suspend", "suspended"), ("reactivate", "active")):
        office.post("/admin/tenants/tenant/", {"action": action, "_selected_action": [alice.tenant.pk]})
        alice.tenant.refresh_from_db()
        assert alice.tenant.status == status


def test_a_revoked_key_stays_revoked_since_the_first_time(office: Client, alice: Person) -> None:
    moments = set()
    for _ in range(2):
        office.post("/admin/tenants/apikey/", {"action": "revoke", "_selected_action": [alice.key.pk]})
        moments.add(ApiKey.objects.get(pk=alice.key.pk).revoked_at)
    assert len(moments) == 1
    assert None not in moments


def test_tenants_and_keys_are_never_deleted(office: Client, alice: Person) -> None:
    for address in (f"tenant/{alice.tenant.pk}", f"apikey/{alice.key.pk}"):
        assert office.post(f"/admin/tenants/{address}/delete/", {"post": "yes"}).status_code == 403


def test_a_member_can_be_added_on_the_tenants_page(office: Client, alice: Person, mallory: Person) -> None:
    page = office.get(f"/admin/tenants/tenant/{alice.tenant.pk}/change/")
    assert alice.user.username in page.content.decode()
    assert Member.objects.filter(tenant=alice.tenant).count() == 1


def test_members_may_not_enter_the_admin(client: Client, alice: Person) -> None:
    client.force_login(alice.user)
    assert client.get("/admin/").status_code == 302
