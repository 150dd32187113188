"""Rates of tax by country and day, and tenants that pay none."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from billing.models import TaxExemption, TaxRate


@admin.register(TaxRate)
class TaxRateAdmin(ModelAdmin):
    list_display = ["country", "valid_from", "percent", "source"]
    list_filter = ["country"]
    search_fields = ["country"]


@admin.register(TaxExemption)
class TaxExemptionAdmin(ModelAdmin):
    list_display = ["tenant", "valid_from", "valid_until", "reason", "certificate"]
    list_filter = ["tenant"]
