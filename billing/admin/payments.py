"""Payments, recorded by hand: they never change, and are reversed where they did not hold."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from billing import payments
from billing.documents import figures
from billing.errors import PaymentRefused
from billing.models import Payment


class PaymentForm(forms.ModelForm):  # type: ignore[type-arg]  # Takes no parameter when it runs.
    def clean(self) -> dict[str, Any] | None:
        """Say beside its field what `payments` refuses."""
        cleaned = super().clean()
        if not self.errors:
            names = ("invoice", "amount", "currency", "received_on", "reference")
            try:
                payments.refuse(Payment(**{name: self.cleaned_data[name] for name in names}))
            except PaymentRefused as refusal:
                self.add_error(refusal.field, str(refusal))
        return cleaned


class ReversalForm(BaseDialogForm):
    reason = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)


@admin.register(Payment)
class PaymentAdmin(ModelAdmin):
    form = PaymentForm
    list_display = ["reference", "invoice", "received", "received_on", "recorded_by", "reversed_at"]
    list_filter = ["received_on", "invoice__tenant"]
    list_select_related = ["invoice__period", "recorded_by"]
    search_fields = ["reference", "invoice__number"]
    autocomplete_fields = ["invoice"]
    actions_detail = ["reverse_payment"]

    def get_fields(self, request: HttpRequest, obj: Payment | None = None) -> list[Any]:
        if obj is None:
            return ["invoice", ("amount", "currency"), "received_on", "reference"]
        recorded = ["invoice", "received", "received_on", "reference", ("recorded_by", "recorded_at")]
        return [*recorded, *([("reversed_by", "reversed_at"), "reversal_reason"] if obj.reversed_at else [])]

    @admin.display(description="Amount")
    def received(self, payment: Payment) -> str:
        return f"{figures.amount(payment.amount, payment.currency)} {payment.currency}"

    def save_model(self, request: HttpRequest, obj: Payment, form: Any, change: bool) -> None:
        obj.recorded_by = cast(User, request.user)  # Pages are for staff, who are users.
        payments.record(obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_reverse_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.change_payment")

    @action(  # type: ignore[untyped-decorator]  # django-unfold carries no types.
        description="Reverse",
        url_path="reverse",
        permissions=["reverse"],
        dialog={
            "title": "Reverse the payment",
            "description": "Books a counter-entry: the invoice is open again by so much. It cannot be undone.",
            "form_class": ReversalForm,
            "form_submit_text": "Reverse",
        },
    )
    def reverse_payment(self, request: HttpRequest, form: ReversalForm, object_id: int) -> HttpResponse:
        try:
            payments.reverse(object_id, form.cleaned_data["reason"], cast(User, request.user))
        except PaymentRefused as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        else:
            self.message_user(request, "The payment is reversed.", messages.SUCCESS)
        return HttpResponse(headers={"HX-Redirect": reverse("admin:billing_payment_change", args=[object_id])})
