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
        "input_by_engines",
        "input_by_events",
        "input_apart",
        "output_by_engines",
        "output_by_events",
        "output_apart",
        "counters",
        "workers",
        "restarts",
        "seconds_unread",
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

    @admin.display(description="input: engines", ordering="engine_input")
    def input_by_engines(self, row: EngineHour) -> str:
        return f"{row.engine_input:,}"

    @admin.display(description="events", ordering="our_input")
    def input_by_events(self, row: EngineHour) -> str:
        return f"{row.our_input:,}"

    @admin.display(description="difference")
    def input_apart(self, row: EngineHour) -> str:
        return apart(row.input_difference, row.engine_input, row.our_input)

    @admin.display(description="output: engines", ordering="engine_output")
    def output_by_engines(self, row: EngineHour) -> str:
        return f"{row.engine_output:,}"

    @admin.display(description="events", ordering="our_output")
    def output_by_events(self, row: EngineHour) -> str:
        return f"{row.our_output:,}"

    @admin.display(description="difference")
    def output_apart(self, row: EngineHour) -> str:
        return apart(row.output_difference, row.engine_output, row.our_output)

    @admin.display(description="seconds not read", ordering="gap_s")
    def seconds_unread(self, row: EngineHour) -> str:
        return f"{row.gap_s:,}"


def apart(difference: int, *counts: int) -> str:
    """A difference with its sign, and in percent of the larger count as the tolerance is."""
    tenths = abs(difference) * 1000 // (max(counts) or 1)
    return f"{difference:+,} ({tenths // 10}.{tenths % 10}\N{NO-BREAK SPACE}%)" if difference else "0"
