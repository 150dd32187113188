"""Whose data a caller of the office API may see. Every view filters by it."""

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from tenants.authentication import KeyHolder
from tenants.models import Member


def visible_tenant_ids(user: AbstractBaseUser | AnonymousUser | KeyHolder) -> set[int] | None:
    """The tenants whose data `user` may see; None means all of them, for the operator's staff."""
    if isinstance(user, KeyHolder):
        return {user.tenant_id}
    if not user.is_authenticated or not user.is_active:
        return set()
    if getattr(user, "is_staff", False):
        return None
    return set(Member.objects.filter(user_id=user.pk).values_list("tenant_id", flat=True))
