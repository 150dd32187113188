"""What an operator may look at. Events are not here: Django's admin does not know composite primary keys."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from metering.models import Batch, Bucket
from tenants.read_only import ReadOnly


@admin.register(Batch)
class BatchAdmin(ReadOnly, ModelAdmin):
    list_display = ["journal_name", "first", "last", "events", "duplicates", "committed_at", "folded_at"]
    list_filter = ["journal_name", ("folded_at", admin.EmptyFieldListFilter)]
    show_full_result_count = False


@admin.register(Bucket)
class BucketAdmin(ReadOnly, ModelAdmin):
    list_display = ["tenant_id", "start", "project_id", "offering", "deployment", "billed", "unit", "quantity"]
    list_filter = ["unit", "billed"]
    search_fields = ["=tenant_id", "=offering", "=deployment"]
    show_full_result_count = False
