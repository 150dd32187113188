"""What an operator may look at. Events are not here: Django's admin does not know composite primary keys."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from metering.models import Batch, Bucket


class ReadOnly(ModelAdmin):
    """Only the shipper and the folder write what is shown here."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Batch)
class BatchAdmin(ReadOnly):
    list_display = ["journal_name", "first", "last", "events", "duplicates", "committed_at", "folded_at"]
    list_filter = ["journal_name", ("folded_at", admin.EmptyFieldListFilter)]
    show_full_result_count = False


@admin.register(Bucket)
class BucketAdmin(ReadOnly):
    list_display = ["tenant_id", "start", "project_id", "offering", "deployment", "billed", "unit", "quantity"]
    list_filter = ["unit", "billed"]
    search_fields = ["=tenant_id", "=offering", "=deployment"]
    show_full_result_count = False
