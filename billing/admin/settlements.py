"""What of an invoice was written off or paid back, recorded by hand."""

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from billing import settlements
from billing.documents import figures
from billing.errors import SettlementRefused
from billing.models import Settlement


class SettlementForm(forms.ModelForm):  # type: ignore[type-arg]  # Takes no parameter when it runs.
    def clean(self) -> dict[str, Any] | None:
        """Say beside its field what `settlements` refuses."""
        cleaned = super().clean()
        if not self.errors:
            names = ("invoice", "kind", "amount", "currency", "occurred_on", "reference")
            try:
                settlements.refuse(Settlement(**{name: self.cleaned_data[name] for name in names}))
            except SettlementRefused as refusal:
                self.add_error(refusal.field, str(refusal))
        return cleaned


@admin.register(Settlement)
class SettlementAdmin(ModelAdmin):
    form = SettlementForm
    list_display = ["invoice", "kind", "amount_shown", "occurred_on", "reference", "recorded_by"]
    list_filter = ["kind", "occurred_on", "invoice__tenant"]
    list_select_related = ["invoice__period", "recorded_by"]
    search_fields = ["reference", "invoice__number"]
    autocomplete_fields = ["invoice"]

    def get_fields(self, request: HttpRequest, obj: Settlement | None = None) -> list[Any]:
        if obj is None:
            return ["invoice", "kind", ("amount", "currency"), "occurred_on", "reference"]
        return ["invoice", "kind", "amount_shown", "occurred_on", "reference", ("recorded_by", "recorded_at")]

    @admin.display(description="Amount")
    def amount_shown(self, settlement: Settlement) -> str:
        return f"{figures.amount(settlement.amount, settlement.currency)} {settlement.currency}"

    def save_model(self, request: HttpRequest, obj: Settlement, form: Any, change: bool) -> None:
        obj.recorded_by = cast(User, request.user)  # Pages are for staff, who are users.
        settlements.record(obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
