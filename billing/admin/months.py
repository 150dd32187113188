"""Months as people write them in the forms of the admin, and the preview of one."""

from datetime import date
from typing import Any

from django import forms
from django.http import HttpRequest
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing.documents import figures
from billing.errors import BillingError
from billing.models import Invoice
from billing.periods import NotAMonth, parse_month
from billing.preview import preview
from tenants.models import Tenant


def month_of(text: str) -> date:
    try:
        return parse_month(text)
    except NotAMonth as refusal:
        raise forms.ValidationError(str(refusal)) from refusal


class MonthOfTenantForm(forms.Form):
    tenant = forms.ModelChoiceField(Tenant.objects.all(), widget=UnfoldAdminSelectWidget)
    month = forms.CharField(widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "2026-11"}))

    def clean_month(self) -> date:
        return month_of(self.cleaned_data["month"])


def preview_page(request: HttpRequest, context: dict[str, Any]) -> TemplateResponse:
    """What closing a tenant's month would give now, or why it would be refused."""
    form = MonthOfTenantForm(request.GET or None)
    found: dict[str, Any] = {}
    if form.is_valid():
        try:
            found = _shown(preview(**form.cleaned_data))
        except BillingError as refusal:
            found = {"refusal": str(refusal)}
    return TemplateResponse(request, "admin/billing/preview.html", {**context, "form": form, **found})


def _shown(invoice: Invoice) -> dict[str, Any]:
    def money(amount: Any) -> str:
        return f"{figures.amount(amount, invoice.currency)} {invoice.currency}"

    return {
        "invoice": invoice,
        "rows": [
            (line.position, line.description, line.project, f"{line.quantity:,}", money(line.amount))
            for line in invoice.lines.all()
        ],
        "sums": [
            ("Net amount", money(invoice.net)),
            *(
                (f"Tax {tax.rate_percent.normalize():f} % ({tax.category})", money(tax.tax))
                for tax in invoice.taxes.all()
            ),
            ("Gross amount", money(invoice.gross)),
            *([("Paid from the wallet", money(-invoice.prepaid))] if invoice.prepaid else []),
            ("Amount due", money(invoice.gross - invoice.prepaid)),
        ],
    }
