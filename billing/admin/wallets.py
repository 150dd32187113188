"""Wallets of prepaid tenants, and what budgets have said."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from billing import wallets
from billing.models import BudgetNotice, WalletCredit
from tenants.read_only import ReadOnly


@admin.register(WalletCredit)
class WalletCreditAdmin(ModelAdmin):
    list_display = ["tenant", "amount", "note", "created_at"]
    list_filter = ["tenant"]
    fields = ["tenant", "amount", "note"]

    def save_model(self, request: HttpRequest, obj: WalletCredit, form: Any, change: bool) -> None:
        wallets.pay_in(obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(BudgetNotice)
class BudgetNoticeAdmin(ReadOnly, ModelAdmin):
    list_display = ["budget", "percent", "recipient", "created_at", "sent_at", "attempts", "last_error"]
    list_filter = ["budget__tenant"]
