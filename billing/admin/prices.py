"""Who sells, at which prices, to whom. Published versions and plans that have begun are shown and cannot be changed."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action

from billing import publishing
from billing.admin.rates import SHOWN_MAX, RateInline, SampleForm
from billing.coverage import last_months
from billing.errors import BillingError
from billing.models import Plan, PriceBook, PriceBookVersion, Seller


@admin.register(Seller)
class SellerAdmin(ModelAdmin):
    list_display = ["legal_name", "country", "tax_number", "invoice_prefix"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not Seller.objects.exists()


class VersionInline(TabularInline):
    model = PriceBookVersion
    fields = readonly_fields = ["valid_from", "published_at"]
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(PriceBook)
class PriceBookAdmin(ModelAdmin):
    list_display = ["slug", "name", "currency"]
    search_fields = ["slug", "name"]
    prepopulated_fields = {"slug": ["name"]}
    inlines = [VersionInline]

    def get_readonly_fields(self, request: HttpRequest, obj: PriceBook | None = None) -> list[str]:
        """Rates are exact in their book's currency, so a book keeps it."""
        return ["slug", "currency"] if obj else []

    def get_prepopulated_fields(self, request: HttpRequest, obj: PriceBook | None = None) -> dict[str, Any]:
        return {} if obj else dict(self.prepopulated_fields)


@admin.register(PriceBookVersion)
class PriceBookVersionAdmin(ModelAdmin):
    list_display = ["price_book", "valid_from", "published_at"]
    list_filter = ["price_book"]
    fields = ["price_book", "valid_from", "published_at"]
    readonly_fields = ["published_at"]
    inlines = [RateInline]
    actions = ["publish"]
    actions_detail = ["meet_rates"]

    @action(description="Meet rates", url_path="meet-rates", permissions=["view"])  # type: ignore[untyped-decorator]  # unfold carries no types.
    def meet_rates(self, request: HttpRequest, object_id: int) -> TemplateResponse:
        """Which rate a sample of usage meets, and what of last month's usage would meet none."""
        version = get_object_or_404(PriceBookVersion.objects.select_related("price_book"), pk=object_id)
        coverage = last_months(version, timezone.now())
        form = SampleForm(request.GET) if "offering" in request.GET else SampleForm()
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": f"Which rates of {version} usage meets",
            "opts": self.model._meta,
            "form": form,
            "sample": form.meets(version) if form.is_valid() else None,
            "coverage": coverage,
            "shown": coverage.met[:SHOWN_MAX],
            "more": len(coverage.met[SHOWN_MAX:]),
        }
        return TemplateResponse(request, "admin/billing/meet_rates.html", context)

    def has_change_permission(self, request: HttpRequest, obj: PriceBookVersion | None = None) -> bool:
        return (obj is None or obj.published_at is None) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: PriceBookVersion | None = None) -> bool:
        return (obj is None or obj.published_at is None) and super().has_delete_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: PriceBookVersion | None = None) -> list[str]:
        return [*self.readonly_fields, *(["price_book"] if obj else [])]

    @admin.action(description="Publish: freeze the prices and let them hold", permissions=["change"])
    def publish(self, request: HttpRequest, queryset: QuerySet[PriceBookVersion]) -> None:
        for version in queryset:
            try:
                publishing.publish(version)
            except BillingError as refusal:
                self.message_user(request, str(refusal), messages.ERROR)
            else:
                self.log_change(request, version, "Published.")


class PlanForm(forms.ModelForm):  # type: ignore[type-arg]  # Takes no parameter when it runs.
    def clean(self) -> dict[str, Any] | None:
        """Say beside the form what `publishing` refuses."""
        cleaned = super().clean()
        if not self.errors:
            plan = Plan(**{name: self.cleaned_data[name] for name in ("tenant", "price_book", "terms", "starts_at")})
            try:
                publishing.refuse_plan(plan)
            except BillingError as refusal:
                raise ValidationError(str(refusal)) from refusal
        return cleaned


@admin.register(Plan)
class PlanAdmin(ModelAdmin):
    form = PlanForm
    list_display = ["tenant", "price_book", "terms", "starts_at"]
    list_filter = ["tenant", "price_book"]
    fields = ["tenant", "price_book", "terms", "starts_at"]

    def _is_open(self, plan: Plan | None) -> bool:
        return plan is None or plan.starts_at > timezone.now()

    def has_change_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        return self._is_open(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        return self._is_open(obj) and super().has_delete_permission(request, obj)
