"""The cast of the tests.

Alice pays for the tenant Acme, Bob is on her team, and Mallory, of another tenant, may see nothing of theirs. Olga is
the operator. The servers behind the tests are started by tests/servers.py.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from hypothesis import HealthCheck, settings
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from tenants import registry
from tenants.models import ApiKey, Member, Project, Tenant

# How long an example takes is the machine's business: no test is timed, and one that fails says how to repeat it.
settings.register_profile("tokenworks", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("tokenworks")


REFUSALS_TO_EMPTY_SQL = """
SELECT format('ALTER TABLE %s DISABLE TRIGGER %I', tgrelid::regclass, tgname)
  FROM pg_trigger WHERE tgfoid = 'billing_refuse'::regproc AND tgtype & 32 <> 0
"""


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Tests on real transactions empty all tables behind them, the ledger's too, which refuse that otherwise."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(REFUSALS_TO_EMPTY_SQL)
        for (statement,) in cursor.fetchall():
            cursor.execute(statement)


@dataclass(frozen=True)
class Person:
    """A member of the cast, with the tenant's first project and a key that works."""

    user: User
    tenant: Tenant
    project: Project
    key: ApiKey
    secret: str


def new_tenant(slug: str, **fields: object) -> registry.IssuedKey:
    """A tenant with a legal address, its first project and its first key."""
    given = {
        "slug": slug,
        "name": slug.capitalize(),
        "currency": "USD",
        "legal_name": f"{slug.capitalize()} GmbH",
        "address_lines": "Musterstraße 1\n10115 Berlin",
        "country": "DE",
        "tax_rate_percent": "0",
        "invoice_email": f"billing@{slug}.example",
    }
    return registry.admit(Tenant(**{**given, **fields}))


def person(name: str, tenant: Tenant, key: ApiKey, secret: str, role: str) -> Person:
    user = User.objects.create_user(name, f"{name}@{tenant.slug}.example")
    Member.objects.create(tenant=tenant, user=user, role=role)
    return Person(user, tenant, key.project, key, secret)


@pytest.fixture
def alice(db: None) -> Person:
    issued = new_tenant("acme", tax_rate_percent="19.00", tax_number="DE136695976", time_zone="Europe/Berlin")
    return person("alice", issued.key.project.tenant, issued.key, issued.secret, Member.Role.OWNER)


@pytest.fixture
def bob(alice: Person) -> Person:
    issued = registry.issue_key(alice.project, "bob's laptop")
    return person("bob", alice.tenant, issued.key, issued.secret, Member.Role.MEMBER)


@pytest.fixture
def mallory(db: None) -> Person:
    issued = new_tenant("mallory")
    return person("mallory", issued.key.project.tenant, issued.key, issued.secret, Member.Role.OWNER)


@pytest.fixture
def olga(db: None) -> User:
    """The operator: staff, and a superuser."""
    return User.objects.create_superuser("olga", "olga@operator.example")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A TOKENWORKS_HOME of this test alone."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def office(client: Client, olga: User) -> Client:
    """The operator's browser."""
    client.force_login(olga)
    return client


@pytest.fixture
def staff(olga: User) -> APIClient:
    """The operator at the API."""
    client = APIClient()
    client.force_authenticate(olga)
    return client


def calling(person: Person) -> APIClient:
    """An application with the person's key."""
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {person.secret}")
    return client
