"""Invoices, for reading: nobody types into one. Closing a month makes them."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from billing import balances, closing
from billing.admin.credit_notes import credit_page
from billing.admin.months import month_of, preview_page
from billing.documents import figures
from billing.documents.issue import pdf_of
from billing.errors import BillingError
from billing.models import Delivery, Invoice, InvoiceLine, Payment
from tenants.models import Tenant
from tenants.read_only import ReadOnly


class LineInline(ReadOnly, TabularInline):
    model = InvoiceLine
    fields = ["position", "description", "project", "units", "price", "sum"]
    readonly_fields = ["units", "price", "sum"]
    extra = 0

    @admin.display(description="Quantity")
    def units(self, line: InvoiceLine) -> str:
        return f"{line.quantity:,}"

    @admin.display(description="Price")
    def price(self, line: InvoiceLine) -> str:
        return f"{line.unit_amount.normalize():f} per {line.per:,}"

    @admin.display(description="Amount")
    def sum(self, line: InvoiceLine) -> str:
        return figures.amount(line.amount, line.invoice.currency)


class DeliveryInline(ReadOnly, TabularInline):
    model = Delivery
    fields = ["channel", "recipient", "sent_at", "attempts", "next_attempt_at", "last_error"]
    extra = 0


class PaymentInline(ReadOnly, TabularInline):
    model = Payment
    fields = ["reference", "received", "received_on", "recorded_by", "reversed_at", "reversal_reason"]
    readonly_fields = ["received"]
    extra = 0
    show_change_link = True

    @admin.display(description="Amount")
    def received(self, payment: Payment) -> str:
        return figures.amount(payment.amount, payment.currency)


class ClosingForm(BaseDialogForm):
    tenant = forms.ModelChoiceField(Tenant.objects.all(), widget=UnfoldAdminSelectWidget)
    month = forms.CharField(help_text="Year and month, such as 2026-11.", widget=UnfoldAdminTextInputWidget)
    early = forms.BooleanField(
        required=False, label="Close early, before the month has ended", widget=UnfoldBooleanWidget
    )

    def clean_month(self) -> Any:
        return month_of(self.cleaned_data["month"])


@admin.register(Invoice)
class InvoiceAdmin(ReadOnly, ModelAdmin):
    list_display = ["__str__", "tenant", "period", "status", "amount_due", "still_open", "issued_on", "due_on", "pdf"]
    list_filter = ["kind", "status", "tenant"]
    list_select_related = ["tenant", "period", "corrects__period"]
    search_fields = ["number", "tenant__slug", "tenant__name"]
    fields = [
        ("number", "pdf"),
        ("tenant", "period"),
        ("amount_due", "status"),
        ("still_open", "payment"),
        ("net_amount", "tax_amount"),
        ("gross_amount", "prepaid_amount"),
        ("issued_on", "due_on"),
        ("usage_until", "closed_early"),
        ("corrects", "reason"),
    ]
    inlines = [LineInline, PaymentInline, DeliveryInline]
    actions_list = ["close_month", "preview"]
    actions_detail = ["credit_note"]

    def get_fields(self, request: HttpRequest, obj: Invoice | None = None) -> list[Any]:
        """The link to record a payment is for those who may."""
        if request.user.has_perm("billing.add_payment"):
            return list(self.fields)
        return [("still_open",) if "payment" in field else field for field in self.fields]

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.pdf_view)
        return [path("<int:pk>/pdf/", view, name="billing_invoice_pdf"), *super().get_urls()]

    @admin.display(description="Amount due")
    def amount_due(self, invoice: Invoice) -> str:
        return f"{figures.amount(invoice.gross - invoice.prepaid, invoice.currency)} {invoice.currency}"

    @admin.display(description="Gross amount")
    def gross_amount(self, invoice: Invoice) -> str:
        return figures.amount(invoice.gross, invoice.currency)

    @admin.display(description="Paid by the wallet")
    def prepaid_amount(self, invoice: Invoice) -> str:
        return figures.amount(invoice.prepaid, invoice.currency)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invoice]:
        return balances.with_open_amount(super().get_queryset(request))

    @admin.display(description="Open", ordering="open_amount")
    def still_open(self, invoice: Invoice) -> str:
        if invoice.corrects_id:
            return f"taken back of {invoice.corrects}"
        if invoice.open_amount is None:
            return "not booked yet"
        if balances.is_paid(invoice):
            return "paid" if not invoice.open_amount else f"owed to the tenant: {-invoice.open_amount.normalize():f}"
        return f"{figures.amount(invoice.open_amount, invoice.currency)} {invoice.currency}"

    @admin.display(description="Payment")
    def payment(self, invoice: Invoice) -> str:
        if invoice.open_amount is None or balances.is_paid(invoice):
            return "none expected"
        amount = figures.amount(invoice.open_amount, invoice.currency).replace(",", "")
        given = urlencode({"invoice": invoice.pk, "amount": amount, "currency": invoice.currency})
        target = f"{reverse('admin:billing_payment_add')}?{given}"
        return format_html('<a class="text-primary-600" href="{}">Record a payment</a>', target)

    @admin.display(description="Net amount")
    def net_amount(self, invoice: Invoice) -> str:
        return figures.amount(invoice.net, invoice.currency)

    @admin.display(description="Tax")
    def tax_amount(self, invoice: Invoice) -> str:
        return figures.amount(invoice.tax, invoice.currency)

    @admin.display(description="Document")
    def pdf(self, invoice: Invoice) -> str:
        if invoice.status == Invoice.Status.DRAFT:
            return "none yet"
        return format_html('<a href="{}">PDF</a>', reverse("admin:billing_invoice_pdf", args=[invoice.pk]))

    def pdf_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        invoice = self.get_object(request, str(pk))
        if invoice is None or not self.has_view_permission(request, invoice):
            return HttpResponse("There is no such invoice.", status=404, content_type="text/plain")
        try:
            return HttpResponse(pdf_of(invoice), content_type="application/pdf")
        except BillingError as refusal:
            return HttpResponse(str(refusal), status=409, content_type="text/plain")

    @action(description="Preview a month", url_path="preview", permissions=["view"])  # type: ignore[untyped-decorator]  # unfold carries no types.
    def preview(self, request: HttpRequest) -> HttpResponse:
        return preview_page(request, self._context(request, "Preview a month"))

    @action(description="Give a credit note", url_path="credit-note", permissions=["credit"])  # type: ignore[untyped-decorator]  # unfold carries no types.
    def credit_note(self, request: HttpRequest, object_id: int) -> HttpResponse:
        invoice = Invoice.objects.get(pk=object_id)
        return credit_page(request, invoice, self._context(request, f"Credit note over {invoice}"))

    def _context(self, request: HttpRequest, title: str) -> dict[str, Any]:
        return {**self.admin_site.each_context(request), "title": title, "opts": self.model._meta}

    def has_credit_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Only what is a final invoice can be taken back."""
        final = Invoice.objects.filter(pk=object_id, kind=Invoice.Kind.INVOICE, status=Invoice.Status.FINAL)
        return request.user.has_perm("billing.add_invoice") and final.exists()

    def has_close_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.add_invoice")

    @action(  # type: ignore[untyped-decorator]  # django-unfold carries no types.
        description="Close a month",
        url_path="close-month",
        permissions=["close"],
        dialog={
            "title": "Close a month",
            "description": "Makes, numbers and freezes the invoice. It cannot be undone.",
            "form_class": ClosingForm,
            "form_submit_text": "Close",
        },
    )
    def close_month(self, request: HttpRequest, form: ClosingForm) -> HttpResponse:
        given = form.cleaned_data
        target = reverse("admin:billing_invoice_changelist")
        try:
            invoice = closing.close(given["tenant"], given["month"], early=given["early"])
        except BillingError as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        else:
            self.message_user(request, f"{invoice.number} is final.", messages.SUCCESS)
            target = reverse("admin:billing_invoice_change", args=[invoice.pk])
        return HttpResponse(headers={"HX-Redirect": target})
