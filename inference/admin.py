"""The operator's pages about hardware, pools, workers and what each hour cost."""

from django.contrib import admin
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from inference.models import CostShare, Hardware, Pool, PoolHour, Worker
from providers.admin import FinalNamesAdmin
from tenants.read_only import ReadOnly


@admin.register(Hardware)
class HardwareAdmin(ModelAdmin):
    list_display = ["name", "ownership", "rent_per_hour", "capex", "currency", "status", "as_of"]
    list_filter = ["ownership", "status", "device"]
    search_fields = ["name", "source"]
    fieldsets = [
        (None, {"fields": ["name", "device", "ownership", "currency"]}),
        ("Rented", {"fields": ["rent_per_hour"]}),
        (
            "Bought",
            {
                "fields": [
                    "capex",
                    "life_months",
                    "residual_percent",
                    "capital_percent_per_year",
                    "availability_percent",
                ]
            },
        ),
        ("Power", {"fields": ["power_idle_kw", "power_load_kw", "pue", "electricity_per_kwh"]}),
        ("Site and operation", {"fields": ["colocation_per_kw_month", "opex_per_year"]}),
        ("Evidence", {"fields": ["source", "status", "as_of"]}),
    ]


class WorkerInline(TabularInline):
    model = Worker
    extra = 0


@admin.register(Pool)
class PoolAdmin(FinalNamesAdmin):
    list_display = ["upstream", "hardware", "devices", "idle_policy", "created_at"]
    list_select_related = ["upstream", "hardware"]
    inlines = [WorkerInline]


@admin.register(Worker)
class WorkerAdmin(ModelAdmin):
    list_display = ["base_url", "pool", "kind", "requests_running_max", "enabled"]
    list_filter = ["engine", "enabled"]
    list_select_related = ["pool__upstream"]

    # unfold brings no types.
    @display(description="engine", ordering="engine", label={"simulated": "warning", "vLLM": "success"})  # type: ignore[untyped-decorator]
    def kind(self, worker: Worker) -> str:
        return worker.get_engine_display()


class CostShareInline(ReadOnly, TabularInline):
    model = CostShare
    extra = 0
    fields = ["tenant_id", "project_id", "offering", "deployment", "billed", "device_ns", "cost"]


@admin.register(PoolHour)
class PoolHourAdmin(ReadOnly, ModelAdmin):
    list_display = [
        "hour_start",
        "pool",
        "currency",
        "cost",
        "allocated",
        "unallocated",
        "provisional",
        "overcommitted",
    ]
    list_filter = ["pool"]
    list_select_related = ["pool__upstream"]
    date_hierarchy = "hour_start"
    inlines = [CostShareInline]

    @admin.display(boolean=True)
    def provisional(self, row: PoolHour) -> bool:
        return row.provisional

    @admin.display(boolean=True)
    def overcommitted(self, row: PoolHour) -> bool:
        return row.overcommitted
