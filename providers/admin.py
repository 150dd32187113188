"""The operator's pages about offerings, upstreams and deployments."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from providers.models import Deployment, Offering, Upstream
from providers.names import FinalNames


class FinalNamesAdmin(ModelAdmin):
    """Shows final fields for reading once a row exists. Recorded usage refers to these rows, so none is deleted."""

    def get_readonly_fields(self, request: HttpRequest, obj: FinalNames | None = None) -> tuple[str, ...]:
        return (*super().get_readonly_fields(request, obj), *(obj.final_fields if obj else ()))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Upstream)
class UpstreamAdmin(FinalNamesAdmin):
    list_display = ["slug", "name", "kind", "enabled"]
    list_filter = ["kind", "enabled"]
    search_fields = ["slug", "name"]


@admin.register(Offering)
class OfferingAdmin(FinalNamesAdmin):
    list_display = ["name", "context_tokens_max", "output_tokens_max", "enabled"]
    list_filter = ["enabled"]
    search_fields = ["name", "description"]
    readonly_fields = ["created_at"]


@admin.register(Deployment)
class DeploymentAdmin(FinalNamesAdmin):
    list_display = [
        "slug",
        "offering",
        "upstream",
        "model_name",
        "priority",
        "relative_cost",
        "weight",
        "overflow_queue_max",
        "enabled",
    ]
    list_filter = ["offering", "upstream", "enabled"]
    list_select_related = ["offering", "upstream"]
    search_fields = ["slug", "model_name"]
    fieldsets = [
        (None, {"fields": ["slug", "offering", "upstream", "model_name", "dialect", "enabled"]}),
        (
            "Routing",
            {"fields": ["priority", "relative_cost", "weight", "overflow_queue_max", "prefix_bytes"]},
        ),
        ("Timeouts", {"fields": ["connect_timeout_s", "first_byte_timeout_s", "idle_timeout_s"]}),
    ]
