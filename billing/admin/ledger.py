"""The ledger, for reading: its entries with their postings, and the trial balance."""

from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextInputWidget

from billing.balances import Balance, balances
from billing.documents import figures
from billing.models import Entry, Posting
from money.amount import Money
from tenants.read_only import ReadOnly


class PostingInline(ReadOnly, TabularInline):
    model = Posting
    fields = ["account", "debit", "credit", "currency"]
    readonly_fields = ["debit", "credit"]
    extra = 0
    hide_title = True

    @admin.display(description="Debit")
    def debit(self, posting: Posting) -> str:
        return figures.exact(posting.amount) if posting.amount > 0 else ""

    @admin.display(description="Credit")
    def credit(self, posting: Posting) -> str:
        return figures.exact(-posting.amount) if posting.amount < 0 else ""


class DayForm(forms.Form):
    at = forms.DateField(
        required=False, label="Until the end of", widget=UnfoldAdminTextInputWidget(attrs={"type": "date"})
    )


@dataclass(frozen=True)
class Sheet:
    """The trial balance in one currency, as it is shown: rows of account, debits, credits and balance."""

    currency: str
    rows: list[list[str]]
    total: list[str]
    balances: bool

    @classmethod
    def of(cls, currency: str, found: list[Balance]) -> "Sheet":
        nothing = Money.zero(currency)
        debit = sum((balance.debit for balance in found), nothing)
        credit = sum((balance.credit for balance in found), nothing)
        return cls(
            currency,
            [_row(balance.account.replace("_", " "), balance.debit, balance.credit) for balance in found],
            _row("sum", debit, credit),
            debit == credit,
        )


def _row(name: str, debit: Money, credit: Money) -> list[str]:
    return [name, *(figures.exact(amount.decimal) for amount in (debit, credit, debit - credit))]


def trial_balance(at: date | None) -> list[Sheet]:
    found = balances(at=at)
    return [Sheet.of(currency, list(rows)) for currency, rows in groupby(found, lambda balance: balance.currency)]


@admin.register(Entry)
class EntryAdmin(ReadOnly, ModelAdmin):
    list_display = ["key", "kind", "tenant", "invoice", "occurred_on", "booked_at", "memo"]
    list_filter = ["kind", "tenant"]
    list_select_related = ["tenant", "invoice__period"]
    search_fields = ["key", "memo", "invoice__number"]
    fields = [("key", "kind"), ("tenant", "invoice"), ("occurred_on", "booked_at"), "memo"]
    date_hierarchy = "occurred_on"
    show_full_result_count = False
    inlines = [PostingInline]
    actions_list = ["trial_balance"]

    @action(description="Trial balance", url_path="trial-balance", permissions=["view"])  # type: ignore[untyped-decorator]  # unfold carries no types.
    def trial_balance(self, request: HttpRequest) -> TemplateResponse:
        form = DayForm(request.GET)
        at = form.cleaned_data["at"] if form.is_valid() else None
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": "Trial balance",
            "opts": self.model._meta,
            "form": form,
            "at": at,
            "sheets": trial_balance(at) if form.is_valid() else [],
        }
        return TemplateResponse(request, "admin/billing/trial_balance.html", context)
