"""Who changed what, when, before and after: kept by Postgres, however the change was made."""

import uuid
from decimal import Decimal

import pytest
from asgiref.sync import async_to_sync
from celery import current_app
from django.apps import apps
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, models, transaction
from django.test import AsyncClient, Client

from billing.models import Seller, TaxRate
from config.history import KEPT, LEFT_OUT, keep_all
from tenants import registry
from tenants.history import changes_of
from tenants.models import Budget, Change, Tenant
from tests.conftest import Person

RATE = {"country": "DE", "valid_from": "2007-01-01", "percent": "19", "source": "§ 12 Abs. 1 UStG"}


@pytest.fixture
def seller(db: None) -> Seller:
    return Seller.objects.create(
        legal_name="Factory AG", address_lines="Weg 1\n20354 Hamburg", country="DE", tax_number="DE811907980",
        bank_details="IBAN DE89", email="billing@factory.example",
    )  # fmt: skip


def last(row: models.Model) -> Change:
    return changes_of(row)[0]


@pytest.mark.django_db
@pytest.mark.parametrize("name", KEPT)
def test_each_table_of_the_list_has_the_trigger_that_keeps_it(name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgargs FROM pg_trigger WHERE tgname = 'tokenworks_history' AND tgrelid = %s::regclass",
            [apps.get_model(name)._meta.db_table],
        )
        [(arguments,)] = cursor.fetchall()
    assert bytes(arguments).decode().split("\0")[:-1] == list(LEFT_OUT.get(name, ()))


def test_a_change_says_what_was_there_before_and_after(alice: Person) -> None:
    Tenant.objects.filter(pk=alice.tenant.pk).update(tax_rate_percent=7)
    assert last(alice.tenant).fields == [("tax_rate_percent", Decimal("19.00"), Decimal("7.00"))]


def test_amounts_are_kept_to_the_last_decimal(alice: Person) -> None:
    amount = Decimal("1234567.000000000001")
    budget = Budget.objects.create(tenant=alice.tenant, window="month", kind="money", amount=amount)
    change = last(budget)
    change.refresh_from_db()
    assert (change.deed, change.before) == ("insert", None)
    assert (change.after or {})["amount"] == amount
    key = budget.pk
    budget.delete()
    gone = Change.objects.get(table="tenants_budget", row_id=str(key), deed="delete")
    assert (gone.before or {})["amount"] == amount
    assert gone.after is None


def test_what_changes_nothing_leaves_nothing(alice: Person) -> None:
    before = len(changes_of(alice.tenant))
    Tenant.objects.filter(pk=alice.tenant.pk).update(name=alice.tenant.name)
    assert len(changes_of(alice.tenant)) == before


def test_secrets_are_left_out(alice: Person) -> None:
    assert "digest" not in (last(alice.key).after or {})
    person = User.objects.create_user("eve", password="correct horse battery")
    person.set_password("another one")
    person.save()
    [created] = changes_of(person)
    assert "password" not in (created.after or {})


def test_a_change_by_sql_names_the_role_of_the_database(alice: Person) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_tenant SET country = 'AT' WHERE id = %s", [alice.tenant.pk])
        cursor.execute("SELECT session_user")
        [(role,)] = cursor.fetchall()
    assert last(alice.tenant).who == f"SQL by {role}"


@pytest.mark.django_db(transaction=True)
def test_a_change_in_the_admin_names_the_person_and_stands_on_the_objects_page(office: Client, seller: Seller) -> None:
    page = office.get(f"/admin/billing/seller/{seller.pk}/change/").context["adminform"].form.initial
    office.post(f"/admin/billing/seller/{seller.pk}/change/", {**page, "payment_terms_days": 30})
    change = last(seller)
    assert change.who == "olga"
    assert change.fields == [("payment_terms_days", 14, 30)]
    shown = office.get(f"/admin/billing/seller/{seller.pk}/history/").content.decode()
    assert "changed by olga" in shown
    assert "payment_terms_days" in shown
    listed = office.get(f"/admin/tenants/change/{change.pk}/change/").content.decode()
    assert "payment_terms_days" in listed


@pytest.mark.django_db(transaction=True)
def test_a_change_by_way_of_asgi_names_the_person_as_well(async_client: AsyncClient, olga: User) -> None:
    async_client.force_login(olga)
    async_to_sync(async_client.post)("/admin/billing/taxrate/add/", RATE)
    assert last(TaxRate.objects.get()).who == "olga"


def test_an_action_of_the_admin_names_the_person_too(office: Client, alice: Person) -> None:
    office.post("/admin/tenants/tenant/", {"action": "suspend", "_selected_action": [alice.tenant.pk]})
    assert last(alice.tenant).who == "olga"
    assert last(alice.tenant).fields == [("status", "active", "suspended")]


def test_a_deleted_person_is_still_named_by_number(office: Client, alice: Person, olga: User) -> None:
    office.post("/admin/tenants/tenant/", {"action": "suspend", "_selected_action": [alice.tenant.pk]})
    key = olga.pk
    User.objects.filter(pk=key).delete()
    assert last(alice.tenant).who == f"user {key}, deleted since"


@pytest.mark.django_db(transaction=True)
def test_a_change_by_a_task_names_the_task(alice: Person) -> None:
    @current_app.task(name="tests.suspend")
    def suspend() -> None:
        registry.suspend(alice.tenant)

    suspend.apply(task_id=str(uuid.uuid4()))
    assert last(alice.tenant).who == "task tests.suspend"
    registry.reactivate(alice.tenant)
    assert last(alice.tenant).who.startswith("SQL by ")


def test_history_is_never_rewritten(alice: Person) -> None:
    change = last(alice.tenant)
    with pytest.raises(IntegrityError, match="never rewritten"), transaction.atomic():
        Change.objects.filter(pk=change.pk).update(deed="delete")
    with pytest.raises(IntegrityError, match="never rewritten"), transaction.atomic():
        Change.objects.filter(pk=change.pk).delete()


@pytest.mark.django_db
def test_a_trigger_that_is_there_is_left_alone_and_one_that_is_gone_comes_back() -> None:
    oids = "SELECT tgrelid::regclass::text, oid FROM pg_trigger WHERE tgname = 'tokenworks_history'"
    with connection.cursor() as cursor:
        cursor.execute(oids)
        before = dict(cursor.fetchall())
        cursor.execute("DROP TRIGGER tokenworks_history ON auth_user")
        keep_all(plan=[])
        cursor.execute(oids)
        after = dict(cursor.fetchall())
    assert after.keys() == before.keys()
    assert [table for table in after if after[table] != before[table]] == ["auth_user"]
