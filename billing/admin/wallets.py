"""Wallets: credits with what was drawn from them, orders of top-ups, and what budgets have said."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing import top_ups, wallets
from billing.documents import figures
from billing.errors import BillingError, OrderIsNotOpen
from billing.models import BudgetNotice, TopUpOrder, TopUpRule, WalletCredit, WalletDraw
from billing.wallet_reading import with_left
from money.amount import Money
from tenants.read_only import ReadOnly


class CreditForm(forms.ModelForm):  # type: ignore[type-arg]  # Takes no parameter when it runs.
    order = forms.ModelChoiceField(
        TopUpOrder.objects.filter(status=TopUpOrder.Status.OPEN),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="The top-up that it pays, where one was ordered.",
    )

    def clean(self) -> dict[str, Any] | None:
        """Say beside its field what `wallets` refuses."""
        cleaned = super().clean()
        if not self.errors:
            given = {name: self.cleaned_data[name] for name in ("tenant", "kind", "amount", "expires_at")}
            order = self.cleaned_data["order"]
            try:
                wallets.refuse(WalletCredit(**given), timezone.now())
                if order is not None and order.tenant != given["tenant"]:
                    raise OrderIsNotOpen
            except BillingError as refusal:
                self.add_error(refusal.field, str(refusal))
        return cleaned


class RefundForm(BaseDialogForm):
    amount = forms.DecimalField(max_digits=38, decimal_places=12, widget=UnfoldAdminDecimalFieldWidget)
    reason = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)


class DrawInline(ReadOnly, TabularInline):
    model = WalletDraw
    fields = readonly_fields = ["created_at", "kind", "drawn", "invoice", "reason", "recorded_by"]
    extra = 0
    hide_title = True

    @admin.display(description="Amount")
    def drawn(self, draw: WalletDraw) -> str:
        return figures.amount(draw.amount, draw.tenant.currency)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[WalletDraw]":
        rows: QuerySet[WalletDraw] = super().get_queryset(request)
        return rows.select_related("tenant", "invoice__period")


@admin.register(WalletCredit)
class WalletCreditAdmin(ModelAdmin):
    form = CreditForm
    list_display = ["tenant", "kind", "amount_shown", "left_shown", "priority", "expires_at", "note", "created_at"]
    list_filter = ["kind", "tenant", "programme"]
    list_select_related = ["tenant"]
    search_fields = ["note", "tenant__slug"]
    actions_detail = ["refund_credit"]
    inlines = [DrawInline]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[WalletCredit]":
        return with_left(super().get_queryset(request))

    def get_fields(self, request: HttpRequest, obj: WalletCredit | None = None) -> list[Any]:
        if obj is None:
            return ["tenant", "kind", "amount", "note", "priority", "expires_at", "offerings", "order"]
        shown = [("tenant", "kind"), ("amount_shown", "left_shown"), "note", ("priority", "expires_at"), "offerings"]
        return [*shown, *([("programme", "granted_for")] if obj.programme_id else []), "created_at"]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """Lists are entered in one line."""
        if db_field.name == "offerings":
            options["widget"] = UnfoldAdminTextInputWidget
            options["help_text"] = f"{db_field.help_text} With commas between them."
        return super().formfield_for_dbfield(db_field, request, **options)

    def get_inlines(self, request: HttpRequest, obj: WalletCredit | None) -> list[Any]:
        return [DrawInline] if obj else []

    @admin.display(description="Amount")
    def amount_shown(self, credit: WalletCredit) -> str:
        return f"{figures.amount(credit.amount, credit.tenant.currency)} {credit.tenant.currency}"

    @admin.display(description="Left")
    def left_shown(self, credit: WalletCredit) -> str:
        return f"{figures.amount(credit.left, credit.tenant.currency)} {credit.tenant.currency}"

    def save_model(self, request: HttpRequest, obj: WalletCredit, form: Any, change: bool) -> None:
        wallets.pay_in(obj, form.cleaned_data["order"])

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_refund_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.add_walletdraw")

    @action(  # type: ignore[untyped-decorator]  # django-unfold carries no types.
        description="Refund",
        url_path="refund",
        permissions=["refund"],
        dialog={
            "title": "Refund bought credit",
            "description": "Records that so much of what is left was paid back. It cannot be undone.",
            "form_class": RefundForm,
            "form_submit_text": "Refund",
        },
    )
    def refund_credit(self, request: HttpRequest, form: RefundForm, object_id: int) -> HttpResponse:
        credit = WalletCredit.objects.select_related("tenant").get(pk=object_id)
        amount = Money.of(form.cleaned_data["amount"], credit.tenant.currency)
        try:
            wallets.refund(credit.pk, amount, form.cleaned_data["reason"], cast(User, request.user))
        except BillingError as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        else:
            self.message_user(request, f"{amount} is refunded.", messages.SUCCESS)
        return HttpResponse(headers={"HX-Redirect": reverse("admin:billing_walletcredit_change", args=[object_id])})


@admin.register(TopUpRule)
class TopUpRuleAdmin(ModelAdmin):
    list_display = ["tenant", "threshold", "amount", "enabled"]
    list_select_related = ["tenant"]
    fields = ["tenant", ("threshold", "amount"), "enabled"]


@admin.register(TopUpOrder)
class TopUpOrderAdmin(ReadOnly, ModelAdmin):
    list_display = ["reference", "tenant", "amount_shown", "status", "created_at", "sent_at", "attempts", "last_error"]
    list_filter = ["status", "tenant"]
    list_select_related = ["tenant"]
    fields = [
        ("reference", "status"), "tenant", ("amount_shown", "affordable"), "credit", "recipient",
        ("created_at", "sent_at"), "last_error",
    ]  # fmt: skip
    actions_detail = ["cancel_order"]

    @admin.display(description="Amount")
    def amount_shown(self, order: TopUpOrder) -> str:
        return f"{figures.amount(order.amount, order.currency)} {order.currency}"

    def has_cancel_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.change_topuporder")

    @action(description="Cancel", url_path="cancel", permissions=["cancel"])  # type: ignore[untyped-decorator]  # unfold carries no types.
    def cancel_order(self, request: HttpRequest, object_id: int) -> HttpResponse:
        try:
            top_ups.cancel(object_id)
        except BillingError as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        else:
            self.message_user(request, "The order is cancelled.", messages.SUCCESS)
        return HttpResponse(
            status=302, headers={"Location": reverse("admin:billing_topuporder_change", args=[object_id])}
        )


@admin.register(BudgetNotice)
class BudgetNoticeAdmin(ReadOnly, ModelAdmin):
    list_display = ["budget", "percent", "recipient", "created_at", "sent_at", "attempts", "last_error"]
    list_filter = ["budget__tenant"]
