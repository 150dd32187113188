"""The roles of the operator's people, as groups with permissions. Made at each migrate. See docs/operations.md.

Everybody of a role sees all tables of ours. What a role may do besides stands here. Who people are, and what role they
have, only a superuser changes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.auth.models import Group, Permission

PACKAGES = ("tenants", "metering", "providers", "inference", "billing")
WRITE = ("add", "change", "delete")

# Deeds by package, or by one table of a package.
ROLES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "operator": {"tenants": WRITE, "metering": WRITE, "providers": WRITE, "inference": WRITE},
    "finance": {"billing": WRITE, "tenants.tenant": ("change",), "tenants.budget": WRITE},
    "support": {
        "tenants.apikey": ("add", "change"),
        "tenants.limit": WRITE,
        "tenants.member": WRITE,
        "metering.alert": ("change",),
    },
    "read-only": {},
}


def make_all(**signal: Any) -> None:
    """Make the groups after a migration, with the permissions of the tables that are there by now."""
    if "plan" in signal:
        make()


def make() -> None:
    """Make the four groups, and set each one's permissions to what the table says."""
    of_ours = list(Permission.objects.filter(content_type__app_label__in=PACKAGES).select_related("content_type"))
    for role in ROLES:
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.set([permission for permission in of_ours if allows(role, permission)])


def allows(role: str, permission: Permission) -> bool:
    """Whether a role has a permission: to view always, anything else where its package or table is listed with it."""
    deed, _, table = permission.codename.partition("_")
    package = permission.content_type.app_label
    deeds = ROLES[role]
    return deed == "view" or deed in deeds.get(package, ()) or deed in deeds.get(f"{package}.{table}", ())
