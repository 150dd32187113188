"""Terms of plans, coupons and who has them. What was agreed to is shown and cannot be changed."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from billing import agreements
from billing.errors import BillingError
from billing.models import Coupon, IncludedUsage, PlanTerms, Redemption


class IncludedInline(TabularInline):
    model = IncludedUsage
    fields = ["offering", "unit", "quantity"]
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: PlanTerms | None = None) -> bool:
        return not (obj and obj.is_agreed) and super().has_add_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: PlanTerms | None = None) -> bool:
        return not (obj and obj.is_agreed) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: PlanTerms | None = None) -> bool:
        return not (obj and obj.is_agreed) and super().has_delete_permission(request, obj)


@admin.register(PlanTerms)
class PlanTermsAdmin(ModelAdmin):
    list_display = ["name", "currency", "fee", "fee_months", "minimum", "commitment"]
    search_fields = ["name"]
    inlines = [IncludedInline]

    def has_change_permission(self, request: HttpRequest, obj: PlanTerms | None = None) -> bool:
        return not (obj and obj.is_agreed) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: PlanTerms | None = None) -> bool:
        return not (obj and obj.is_agreed) and super().has_delete_permission(request, obj)


@admin.register(Coupon)
class CouponAdmin(ModelAdmin):
    list_display = ["code", "name", "percent", "amount", "currency", "months"]
    search_fields = ["code", "name"]

    def has_change_permission(self, request: HttpRequest, obj: Coupon | None = None) -> bool:
        return not (obj and obj.is_held) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Coupon | None = None) -> bool:
        return not (obj and obj.is_held) and super().has_delete_permission(request, obj)


class RedemptionForm(forms.ModelForm):  # type: ignore[type-arg]  # Takes no parameter when it runs.
    def clean(self) -> dict[str, Any] | None:
        """Say beside the form what redeeming refuses."""
        cleaned = super().clean()
        if not self.errors:
            given = {name: self.cleaned_data[name] for name in ("tenant", "coupon", "first_month")}
            try:
                agreements.refuse_redemption(Redemption(**given))
            except BillingError as refusal:
                raise ValidationError(str(refusal)) from refusal
        return cleaned

    def clean_first_month(self) -> Any:
        return self.cleaned_data["first_month"].replace(day=1)


@admin.register(Redemption)
class RedemptionAdmin(ModelAdmin):
    form = RedemptionForm
    list_display = ["tenant", "coupon", "first_month"]
    list_filter = ["tenant", "coupon"]

    def has_change_permission(self, request: HttpRequest, obj: Redemption | None = None) -> bool:
        return obj is None and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Redemption | None = None) -> bool:
        return not (obj and agreements.is_used(obj)) and super().has_delete_permission(request, obj)
