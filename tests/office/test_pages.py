"""Every page of the office opens, and only for those whom it is for."""

import json
from io import StringIO

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from tests.conftest import Person

TABLES = sorted(f"{table._meta.app_label}_{table._meta.model_name}" for table in admin.site._registry)


@pytest.mark.parametrize("table", TABLES)
def test_an_operator_can_open_every_list(client: Client, olga: User, alice: Person, table: str) -> None:
    client.force_login(olga)
    assert client.get(reverse(f"admin:{table}_changelist")).status_code == 200


@pytest.mark.parametrize("table", TABLES)
def test_adding_is_a_page_or_forbidden_and_never_an_error(client: Client, olga: User, table: str) -> None:
    client.force_login(olga)
    assert client.get(reverse(f"admin:{table}_add")).status_code in (200, 403)


@pytest.mark.parametrize("table", TABLES)
def test_a_member_of_a_tenant_is_sent_to_the_login(client: Client, alice: Person, table: str) -> None:
    client.force_login(alice.user)
    assert client.get(reverse(f"admin:{table}_changelist")).status_code == 302


@pytest.mark.django_db
def test_the_api_is_described_without_a_warning() -> None:
    described = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", stdout=described)
    paths = json.loads(described.getvalue())["paths"]
    assert {"/api/usage/", "/api/events/", "/api/invoices/", "/api/pool-hours/"} <= paths.keys()


@pytest.mark.django_db
def test_nothing_of_the_api_answers_a_stranger(client: Client) -> None:
    for path in ("/api/usage/", "/api/events/", "/api/invoices/", "/api/pool-hours/"):
        assert client.get(path).status_code in (401, 403), path


@pytest.mark.django_db
def test_health_says_that_both_servers_answer(client: Client) -> None:
    assert client.get("/health").json() == {"healthy": True, "problems": {}}
