"""The operator's pages about hardware, pools, workers and what each hour cost."""

from django.contrib import admin
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from inference.models import CostShare, EngineHour, Hardware, Pool, PoolHour, Worker, WorkerReading
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


@admin.register(WorkerReading)
class WorkerReadingAdmin(ReadOnly, ModelAdmin):
    list_display = ["at", "worker", "prompt_tokens", "generation_tokens", "engine", "started_at", "problem"]
    list_filter = [("problem", admin.EmptyFieldListFilter), "worker"]
    list_select_related = ["worker"]
    show_full_result_count = False


@admin.register(EngineHour)
class EngineHourAdmin(ReadOnly, ModelAdmin):
    list_display = [
        "hour_start",
        "pool",
        "state",
        "engine_input",
        "our_input",
        "input_difference",
        "engine_output",
        "our_output",
        "output_difference",
        "counters",
        "workers",
        "restarts",
        "gap_s",
    ]
    list_filter = ["drifts", "pool"]
    list_select_related = ["pool__upstream"]
    date_hierarchy = "hour_start"
    show_full_result_count = False

    # unfold brings no types.
    @display(label={"agrees": "success", "drifts": "danger", "not whole": "warning"})  # type: ignore[untyped-decorator]
    def state(self, row: EngineHour) -> str:
        if not row.whole:
            return "not whole"
        return "drifts" if row.drifts else "agrees"
