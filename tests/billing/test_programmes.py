"""A programme grants to whom it is for, once or each month, and never more than its pool holds."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from billing import ledger_check, programmes
from billing.errors import GrantedAlready, PoolIsEmpty, ProgrammeIsClosed, TenantIsNotEligible, WalletRefused
from billing.models import Programme, WalletCredit
from tenants.models import Tenant
from tests.conftest import Person, new_tenant
from tests.metering.threads import at_once

NOW = datetime(2026, 5, 20, 12, 0, tzinfo=UTC)


def programme(**fields: Any) -> Programme:
    given = {"slug": "right", "name": "Right to compute", "currency": "USD", "pool": 100, "amount": 10}
    return Programme.objects.create(**{**given, "opens_at": NOW - timedelta(days=3), **fields})


def granted(of: Programme) -> Decimal:
    of.refresh_from_db()
    assert of.granted == sum(of.credits.values_list("amount", flat=True))
    return Decimal(of.granted)


def outcome(of: Programme, tenant: Tenant, now: datetime = NOW) -> type[WalletRefused] | None:
    try:
        programmes.grant(of.pk, tenant, now)
    except WalletRefused as refusal:
        return type(refusal)
    return None


def test_a_grant_is_a_credit_with_the_terms_of_its_programme(alice: Person) -> None:
    of = programme(offerings=["llama"], priority=3, valid_days=30)
    credit = programmes.grant(of.pk, alice.tenant, NOW)
    assert (credit.kind, credit.amount, credit.note) == ("granted", 10, "Right to compute")
    assert (credit.offerings, credit.priority) == (["llama"], 3)
    assert credit.expires_at == datetime(2026, 6, 18, 22, tzinfo=UTC)  # 30 days of Berlin, the first of them begun.
    assert granted(of) == 10


def test_a_grant_that_is_given_once_is_given_once(alice: Person) -> None:
    of = programme()
    assert outcome(of, alice.tenant) is None
    assert outcome(of, alice.tenant, NOW + timedelta(days=90)) is GrantedAlready


def test_a_monthly_grant_is_for_the_month_of_the_tenant_and_ends_with_it(alice: Person, mallory: Person) -> None:
    """At 22:30 UTC on 31 May, June has begun in Berlin and not in UTC."""
    of, at = programme(every="month"), datetime(2026, 5, 31, 22, 30, tzinfo=UTC)
    berlin, utc = programmes.grant(of.pk, alice.tenant, at), programmes.grant(of.pk, mallory.tenant, at)
    assert (berlin.granted_for, berlin.expires_at) == (date(2026, 6, 1), datetime(2026, 6, 30, 22, tzinfo=UTC))
    assert (utc.granted_for, utc.expires_at) == (date(2026, 5, 1), datetime(2026, 6, 1, tzinfo=UTC))
    assert outcome(of, alice.tenant, at + timedelta(days=1)) is GrantedAlready
    assert outcome(of, mallory.tenant, at + timedelta(days=1)) is None


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"currency": "EUR"}, TenantIsNotEligible),
        ({"countries": ["FR", "ES"]}, TenantIsNotEligible),
        ({"countries": ["FR", "DE"]}, None),
        ({"opens_at": NOW + timedelta(seconds=1)}, ProgrammeIsClosed),
        ({"closes_at": NOW}, ProgrammeIsClosed),
        ({"pool": Decimal("9.99")}, PoolIsEmpty),
        ({"pool": 10}, None),
    ],
)
def test_a_programme_is_for_whom_and_for_when_it_says(alice: Person, fields: dict[str, Any], refusal: object) -> None:
    of = programme(**fields)
    assert outcome(of, alice.tenant) is refusal
    assert granted(of) == (0 if refusal else 10)


def test_a_programme_that_names_tenants_is_for_no_other(alice: Person, mallory: Person) -> None:
    of = programme()
    of.tenants.add(alice.tenant)
    assert outcome(of, mallory.tenant) is TenantIsNotEligible
    assert outcome(of, alice.tenant) is None


def test_a_suspended_tenant_is_granted_nothing(alice: Person) -> None:
    Tenant.objects.filter(pk=alice.tenant.pk).update(status="suspended")
    assert outcome(programme(), alice.tenant) is TenantIsNotEligible


@pytest.mark.django_db(transaction=True)
def test_the_pool_is_never_overdrawn_however_many_grants_run_at_once() -> None:
    of = programme(pool=35)
    tenants = [new_tenant(f"tenant-{number}").key.project.tenant for number in range(6)]
    found = at_once(*[lambda tenant=tenant: outcome(of, tenant) for tenant in tenants])
    assert (found.count(None), found.count(PoolIsEmpty)) == (3, 3)
    assert granted(of) == 30
    assert ledger_check.check() == {}


@pytest.mark.django_db(transaction=True)
def test_a_grant_that_is_asked_for_twice_at_once_is_given_once(alice: Person) -> None:
    of = programme()
    found = at_once(*[lambda: outcome(of, alice.tenant)] * 3)
    assert (found.count(None), found.count(GrantedAlready)) == (1, 2)
    assert granted(of) == 10


def test_automatic_programmes_grant_to_all_and_stop_when_the_pool_is_empty(alice: Person, mallory: Person) -> None:
    monthly, closed = programme(every="month", automatic=True), programme(slug="x", automatic=True, closes_at=NOW)
    on_request, small = programme(slug="y"), programme(slug="z", automatic=True, pool=15)
    assert programmes.grant_due(NOW) == 3
    assert programmes.grant_due(NOW) == 0
    assert [granted(of) for of in (monthly, closed, on_request, small)] == [20, 0, 0, 10]
    assert programmes.grant_due(NOW + timedelta(days=31)) == 2
    assert WalletCredit.objects.filter(tenant=alice.tenant, programme=monthly).count() == 2


def test_postgres_refuses_to_overdraw_a_pool_and_to_shrink_it_below_what_is_granted(alice: Person) -> None:
    of = programme()
    programmes.grant(of.pk, alice.tenant, NOW)
    for change in ({"granted": 101}, {"pool": 9}):
        with pytest.raises(IntegrityError, match="programme_pool_not_overdrawn"), transaction.atomic():
            Programme.objects.update(**change)
