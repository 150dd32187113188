"""The one writer of tenants and keys: what an operator does to them, each deed whole or not at all."""

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from tenants import keys
from tenants.models import ApiKey, Project, Tenant


@dataclass(frozen=True)
class IssuedKey:
    """A fresh key and its secret, which can be shown now and never again."""

    key: ApiKey
    secret: str


def issue(key: ApiKey) -> IssuedKey:
    """Save a new key, given its project and name, under a fresh secret."""
    secret = keys.new_secret()
    key.prefix, key.digest = keys.visible_prefix(secret), keys.digest(secret)
    key.full_clean()
    key.save(force_insert=True)
    return IssuedKey(key, secret)


def issue_key(project: Project, name: str) -> IssuedKey:
    return issue(ApiKey(project=project, name=name))


@transaction.atomic
def admit(tenant: Tenant, *, project: str = "default", key: str = "first") -> IssuedKey:
    """Save a new tenant with its first project and its first key."""
    tenant.full_clean()
    tenant.save(force_insert=True)
    return issue_key(Project.objects.create(tenant=tenant, slug=project, name=project.capitalize()), key)


def revoke(key: ApiKey) -> None:
    """Revoke a key for good. The first moment stays: a second call changes nothing."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())


def suspend(tenant: Tenant) -> None:
    """Turn away all keys of a tenant until it is reactivated; what it owes is still invoiced."""
    Tenant.objects.filter(pk=tenant.pk).update(status=Tenant.Status.SUSPENDED)


def reactivate(tenant: Tenant) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(status=Tenant.Status.ACTIVE)
