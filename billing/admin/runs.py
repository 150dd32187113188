"""Closing runs and their items: how far each tenant's month is, and what waits for somebody's approval."""

from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from billing import runs
from billing.admin.months import month_of
from billing.documents import figures
from billing.errors import BillingError
from billing.models import ClosingItem, ClosingRun
from tenants.read_only import ReadOnly


class RunForm(BaseDialogForm):
    month = forms.CharField(help_text="Year and month, such as 2026-11.", widget=UnfoldAdminTextInputWidget)
    grace_hours = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=720,
        help_text="How long drafts take in usage that comes late. Empty: as the settings say.",
        widget=UnfoldAdminIntegerFieldWidget,
    )

    def clean_month(self) -> Any:
        return month_of(self.cleaned_data["month"])


@admin.register(ClosingRun)
class ClosingRunAdmin(ReadOnly, ModelAdmin):
    list_display = ["__str__", "progress", "items_link", "grace_hours", "started_by", "started_at"]
    fields = ["month", ("progress", "items_link"), "grace_hours", ("started_by", "started_at")]
    actions_list = ["start_run"]

    @admin.display(description="Tenants by state")
    def progress(self, run: ClosingRun) -> str:
        labels = dict(ClosingItem.State.choices)
        return ", ".join(
            f"{count:,} {labels[ClosingItem.State(state)].lower()}" for state, count in runs.progress(run).items()
        )

    @admin.display(description="Tenants")
    def items_link(self, run: ClosingRun) -> str:
        target = f"{reverse('admin:billing_closingitem_changelist')}?run__id__exact={run.pk}"
        return format_html('<a class="text-primary-600" href="{}">Show them</a>', target)

    def has_start_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.add_closingrun")

    @action(  # type: ignore[untyped-decorator]  # django-unfold carries no types.
        description="Close a month for all",
        url_path="start",
        permissions=["start"],
        dialog={
            "title": "Close a month for all tenants",
            "description": "Workers make, number and freeze every tenant's invoice once its month and grace are over.",
            "form_class": RunForm,
            "form_submit_text": "Start",
        },
    )
    def start_run(self, request: HttpRequest, form: RunForm) -> HttpResponse:
        given, target = form.cleaned_data, reverse("admin:billing_closingrun_changelist")
        by = cast(User, request.user)  # Pages are for staff, who are users.
        try:
            run = runs.start(given["month"], grace_hours=given["grace_hours"], by=by)
        except BillingError as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        else:
            self.message_user(request, f"The run of {run} is started.", messages.SUCCESS)
            target = reverse("admin:billing_closingrun_change", args=[run.pk])
        return HttpResponse(headers={"HX-Redirect": target})


@admin.register(ClosingItem)
class ClosingItemAdmin(ReadOnly, ModelAdmin):
    list_display = ["tenant", "run", "state", "parked_for", "why", "amount", "due_at", "approved_by"]
    list_filter = ["state", "parked_for", "run"]
    list_select_related = ["tenant", "run", "invoice__period", "approved_by"]
    search_fields = ["tenant__slug", "tenant__name"]
    fields = [
        ("tenant", "run"),
        ("state", "due_at"),
        ("parked_for", "reason"),
        ("invoice", "amount"),
        ("approved_by", "approved_at"),
        ("attempts", "claimed_until"),
        "changed_at",
    ]
    actions = ["approve", "try_again"]

    @admin.display(description="Why")
    def why(self, item: ClosingItem) -> str:
        return item.reason if len(item.reason) <= 120 else f"{item.reason[:120]} ..."

    @admin.display(description="Amount")
    def amount(self, item: ClosingItem) -> str:
        if item.invoice is None:
            return "none"
        return f"{figures.amount(item.invoice.gross, item.invoice.currency)} {item.invoice.currency}"

    def has_approve_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.change_closingitem")

    @admin.action(description="Approve: let the invoice go out over the amount shown", permissions=["approve"])
    def approve(self, request: HttpRequest, queryset: QuerySet[ClosingItem]) -> None:
        by = cast(User, request.user)  # Pages are for staff, who are users.
        self._each(request, queryset, lambda item: runs.approve(item.pk, by))

    @admin.action(description="Try again what was parked", permissions=["approve"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[ClosingItem]) -> None:
        self._each(request, queryset, lambda item: runs.try_again(item.pk))

    def _each(
        self, request: HttpRequest, queryset: QuerySet[ClosingItem], deed: Callable[[ClosingItem], ClosingItem]
    ) -> None:
        for item in queryset:
            try:
                deed(item)
            except BillingError as refusal:
                self.message_user(request, str(refusal), messages.ERROR)
            else:
                self.message_user(request, f"{item} goes on.", messages.SUCCESS)
