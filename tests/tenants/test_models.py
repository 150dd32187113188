import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.test import APIRequestFactory

from tenants import keys, registry
from tenants.authentication import ApiKeyAuthentication, KeyHolder
from tenants.models import ApiKey, Tenant
from tenants.snapshot import PRINCIPALS_SQL
from tenants.visibility import visible_tenant_ids
from tests.conftest import Person, new_tenant


def test_the_slug_of_a_tenant_cannot_be_changed_even_by_sql(alice: Person) -> None:
    with pytest.raises(IntegrityError, match="slug of a tenant cannot be changed"), transaction.atomic():
        Tenant.objects.filter(pk=alice.tenant.pk).update(slug="umbrella")


def test_a_digest_that_is_no_sha256_is_refused_by_the_database(alice: Person) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiKey.objects.filter(pk=alice.key.pk).update(digest=b"short")


def test_a_tenant_that_makes_no_sense_leaves_nothing_behind(db: None) -> None:
    with pytest.raises(ValidationError):
        new_tenant("acme", currency="dollars")
    assert not Tenant.objects.exists()


def refusal_of(secret: str) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute(PRINCIPALS_SQL)
        rows = {bytes(row[0]): row[-1] for row in cursor.fetchall()}
    reason: str | None = rows[keys.digest(secret)]
    return reason


def test_gateways_see_which_keys_are_turned_away_and_why(alice: Person, bob: Person, mallory: Person) -> None:
    registry.revoke(bob.key)
    registry.suspend(mallory.tenant)
    assert [refusal_of(person.secret) for person in (alice, bob, mallory)] == [None, "revoked", "suspended"]


def authenticate(secret: str) -> KeyHolder:
    request = APIRequestFactory().get("/", HTTP_AUTHORIZATION=f"Bearer {secret}")
    answer = ApiKeyAuthentication().authenticate(request)
    assert answer
    return answer[0]


def test_an_application_is_recognised_by_its_key(alice: Person) -> None:
    assert authenticate(alice.secret) == KeyHolder(alice.key.pk, alice.project.pk, alice.tenant.pk)


def test_unknown_revoked_and_suspended_keys_are_turned_away(alice: Person, bob: Person) -> None:
    with pytest.raises(AuthenticationFailed):
        authenticate("sk-tw-unknown")
    registry.revoke(bob.key)
    with pytest.raises(AuthenticationFailed):
        authenticate(bob.secret)
    registry.suspend(alice.tenant)
    with pytest.raises(AuthenticationFailed):
        authenticate(alice.secret)


def test_everybody_sees_their_own_tenant_and_staff_sees_all(
    alice: Person, bob: Person, mallory: Person, olga: User
) -> None:
    assert visible_tenant_ids(bob.user) == {alice.tenant.pk}
    assert visible_tenant_ids(mallory.user) == {mallory.tenant.pk}
    assert visible_tenant_ids(authenticate(alice.secret)) == {alice.tenant.pk}
    assert visible_tenant_ids(olga) is None
    assert visible_tenant_ids(AnonymousUser()) == set()
