"""The page that gives a credit note over an invoice: how much is left of each line, and how much to take back."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminTextInputWidget

from billing import credit_notes
from billing.documents import figures
from billing.errors import BillingError
from billing.models import Invoice


class CreditForm(forms.Form):
    """A reason, and an amount for each line that has something left; all empty means all that is left."""

    reason = forms.CharField(max_length=credit_notes.REASON_CHARACTERS_MAX, widget=UnfoldAdminTextInputWidget)

    def __init__(self, invoice: Invoice, *given: Any) -> None:
        super().__init__(*given)
        lines = {line.position: line for line in invoice.lines.all()}
        self.rows: list[tuple[int, str, str, str, forms.BoundField]] = []
        for left in credit_notes.lines_left(invoice):
            if left.amount:
                name = f"line_{left.position}"
                widget = UnfoldAdminTextInputWidget(
                    attrs={"inputmode": "decimal", "aria-label": f"Line {left.position}"}
                )
                self.fields[name] = forms.DecimalField(required=False, widget=widget)
                line = lines[left.position]
                shown = [figures.amount(amount, invoice.currency) for amount in (line.amount, left.amount.decimal)]
                self.rows.append((left.position, line.description, shown[0], shown[1], self[name]))

    def amounts(self) -> dict[int, Decimal] | None:
        given = {position: self.cleaned_data[field.name] for position, *_, field in self.rows}
        return {position: amount for position, amount in given.items() if amount is not None} or None


def credit_page(request: HttpRequest, invoice: Invoice, context: dict[str, Any]) -> HttpResponse:
    """Ask for the amounts, or give the note that was asked for and go to its page."""
    form = CreditForm(invoice, request.POST or None)
    if form.is_valid():
        try:
            note = credit_notes.give(invoice.pk, form.amounts(), form.cleaned_data["reason"])
        except BillingError as refusal:
            form.add_error("reason" if refusal.field == "reason" else None, str(refusal))
        else:
            messages.success(request, f"{note.number} is given.")
            return HttpResponseRedirect(reverse("admin:billing_invoice_change", args=[note.pk]))
    return TemplateResponse(
        request, "admin/billing/credit_note.html", {**context, "form": form, "invoice": invoice, "rows": form.rows}
    )
