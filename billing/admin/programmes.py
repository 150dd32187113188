"""Programmes of grants, with what their pools still hold."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextInputWidget

from billing.documents import figures
from billing.models import Programme


@admin.register(Programme)
class ProgrammeAdmin(ModelAdmin):
    list_display = ["name", "currency", "pool_shown", "granted_shown", "amount_shown", "every", "automatic", "opens_at"]
    search_fields = ["slug", "name"]
    prepopulated_fields = {"slug": ["name"]}
    autocomplete_fields = ["tenants"]
    readonly_fields = ["granted_shown"]
    fields = [
        ("name", "slug"), ("currency", "granted_shown"), ("pool", "amount"), ("every", "valid_days"), "opens_at",
        "closes_at", "automatic", "offerings", "priority", "countries", "tenants",
    ]  # fmt: skip

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """Lists are entered in one line."""
        if db_field.name in ("offerings", "countries"):
            options["widget"] = UnfoldAdminTextInputWidget
            options["help_text"] = f"{db_field.help_text} With commas between them."
        return super().formfield_for_dbfield(db_field, request, **options)

    def get_readonly_fields(self, request: HttpRequest, obj: Programme | None = None) -> list[str]:
        """Grants were given by these, so they stay."""
        return ["granted_shown", *(["slug", "currency", "every", "opens_at"] if obj and obj.granted else [])]

    def get_prepopulated_fields(self, request: HttpRequest, obj: Programme | None = None) -> dict[str, Any]:
        return {} if obj else dict(self.prepopulated_fields)

    @admin.display(description="Pool")
    def pool_shown(self, programme: Programme) -> str:
        return figures.amount(programme.pool, programme.currency)

    @admin.display(description="Granted")
    def granted_shown(self, programme: Programme) -> str:
        return figures.amount(programme.granted, programme.currency) if programme.pk else "nothing yet"

    @admin.display(description="A grant")
    def amount_shown(self, programme: Programme) -> str:
        return figures.amount(programme.amount, programme.currency)
