"""What callers of the office API may do: staff what their role permits, others what is their tenant's."""

from typing import Any

from django.db import models
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

DEEDS = {"POST": "add", "PUT": "change", "PATCH": "change", "DELETE": "delete"}


class ByRole(BasePermission):
    """A member or a key may call, and each view shows them their own; staff need their role's permission for its table.

    The table is the view's `table`, or that of its queryset or serializer. A view without one is the superuser's.
    """

    staff_only = False

    def has_permission(self, request: Request, view: Any) -> bool:
        user: Any = request.user
        if not user or not user.is_authenticated:
            return False
        if not user.is_staff:
            return not self.staff_only
        return bool(user.has_perm(permission_for(request.method or "", table_of(view))))


class StaffByRole(ByRole):
    """The same for what is none of a tenant's business."""

    staff_only = True


def table_of(view: Any) -> type[models.Model] | None:
    """The table that a view is about; None where it says nothing of the kind."""
    queryset, serializer = getattr(view, "queryset", None), getattr(view, "serializer_class", None)
    told = getattr(view, "table", None) or getattr(queryset, "model", None)
    return told or getattr(getattr(serializer, "Meta", None), "model", None)


def permission_for(method: str, table: type[models.Model] | None) -> str:
    """The permission, as Django names it, that a method on a table asks. To look asks for `view`."""
    if table is None:
        return "superuser"
    return f"{table._meta.app_label}.{DEEDS.get(method, 'view')}_{table._meta.model_name}"
