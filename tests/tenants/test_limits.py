"""Limits and budgets as an operator enters them: what makes no sense is refused beside its field, and by Postgres."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.utils import DataError
from django.test import Client
from django.urls import reverse

from tenants.models import Budget, Limit
from tests.conftest import Person


def budget(person: Person, **fields: Any) -> Budget:
    given = {"tenant": person.tenant, "window": "month", "kind": "money", "amount": Decimal(100)}
    return Budget(**{**given, **fields})


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"amount": None}, "amount"),
        ({"kind": "tokens"}, "tokens"),
        ({"tokens": 5}, "tokens"),
        ({"amount": Decimal(9_000_001)}, "amount"),
        ({"amount": Decimal(-1)}, "amount"),
        ({"notify_at_percent": [0]}, "notify_at_percent"),
        ({"window": "year"}, "window"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused_beside_its_field(
    alice: Person, fields: dict[str, Any], at_fault: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        budget(alice, **fields).full_clean()
    assert at_fault in refused.value.message_dict


@pytest.mark.parametrize(
    "fields",
    [{"amount": None}, {"tokens": 5}, {"kind": "tokens"}, {"amount": Decimal(9_000_001)}, {"window": "year"}],
)
def test_postgres_refuses_such_a_budget_too(alice: Person, fields: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        budget(alice, **fields).save()


@pytest.mark.parametrize("table", [Limit, Budget])
def test_another_tenants_project_or_key_is_refused(alice: Person, mallory: Person, table: type) -> None:
    for level in ({"project": mallory.project}, {"api_key": mallory.key}):
        row = Limit(tenant=alice.tenant, **level) if table is Limit else budget(alice, **level)
        with pytest.raises(ValidationError, match="another tenant's"):
            row.full_clean()


def test_a_level_has_one_row_of_limits(alice: Person) -> None:
    Limit.objects.create(tenant=alice.tenant)
    Limit.objects.create(tenant=alice.tenant, project=alice.project)
    with pytest.raises(IntegrityError), transaction.atomic():
        Limit.objects.create(tenant=alice.tenant)


def test_an_address_that_is_none_is_refused_by_form_and_database(alice: Person) -> None:
    with pytest.raises(ValidationError, match="such as 192"):
        Limit(tenant=alice.tenant, ip_allowed=["192.0.2.1/24"]).full_clean()
    with pytest.raises(DataError), transaction.atomic():
        Limit.objects.create(tenant=alice.tenant, ip_allowed=["not an address"])


def test_thresholds_are_kept_once_and_in_order(alice: Person) -> None:
    row = budget(alice, notify_at_percent=[100, 80, 100])
    row.save()
    assert row.notify_at_percent == [80, 100]


def test_the_operator_enters_limits_and_budgets_in_the_admin(alice: Person, olga: User, client: Client) -> None:
    client.force_login(olga)
    entered = {"tenant": alice.tenant.pk, "requests_per_minute": 60, "ip_allowed": "192.0.2.0/24,::1"}
    assert client.post(reverse("admin:tenants_limit_add"), entered).status_code == 302
    assert Limit.objects.get().ip_allowed == ["192.0.2.0/24", "::1"]
    entered = {
        "tenant": alice.tenant.pk, "window": "day", "kind": "tokens", "tokens": 1000, "hard": "on",
        "notify_at_percent": "80,100",
    }  # fmt: skip
    assert client.post(reverse("admin:tenants_budget_add"), entered).status_code == 302
    row = Budget.objects.get()
    assert (row.tokens, row.hard, row.notify_at_percent) == (1000, True, [80, 100])
    for name in ("limit", "budget"):
        assert client.get(reverse(f"admin:tenants_{name}_changelist")).status_code == 200
    assert client.get(reverse("admin:tenants_budget_change", args=[row.pk])).status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", ["tenants_limit", "tenants_budget", "billing_walletcredit", "billing_walletdraw"])
def test_gateways_hear_of_every_change(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("LISTEN tokenworks_snapshot")
        cursor.execute(f"DELETE FROM {table}")
        assert connection.connection is not None
        assert len(list(connection.connection.notifies(timeout=5, stop_after=1))) == 1
        cursor.execute("UNLISTEN *")
