"""Admin pages for rows that one writer of ours writes and that nobody edits. The lowest package has it, for all."""

from typing import Any

from django.http import HttpRequest


class ReadOnly:
    """Stands before an admin class or an inline: shows rows and changes none."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
