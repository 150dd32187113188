"""What an operator may look at. Events are not here: Django's admin does not know composite primary keys."""

from collections.abc import Callable

from django.contrib import admin, messages
from django.db.models import F, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from metering import alerts, backfills, journal_states
from metering.ingest_errors import BackfillRefused
from metering.models import Alert, Archive, Backfill, Batch, Bucket, JournalState, RequestDay
from tenants.read_only import ReadOnly


@admin.register(Batch)
class BatchAdmin(ReadOnly, ModelAdmin):
    list_display = ["journal_name", "first", "last", "events", "duplicates", "committed_at", "folded_at"]
    list_filter = ["journal_name", ("folded_at", admin.EmptyFieldListFilter)]
    show_full_result_count = False


@admin.register(Bucket)
class BucketAdmin(ReadOnly, ModelAdmin):
    list_display = ["tenant_id", "start", "project_id", "offering", "deployment", "billed", "unit", "quantity"]
    list_filter = ["unit", "billed"]
    search_fields = ["=tenant_id", "=offering", "=deployment"]
    show_full_result_count = False


@admin.register(JournalState)
class JournalAdmin(ReadOnly, ModelAdmin):
    list_display = [
        "name",
        "state",
        "node",
        "last_shipped",
        "unshipped_bytes",
        "unshipped_since",
        "segments",
        "still_open",
        "seen_at",
        "problem",
    ]
    actions = ["forget"]

    # unfold brings no types.
    @display(description="state", label={"shipped": "success", "waiting": "info", "late": "danger"})  # type: ignore[untyped-decorator]
    def state(self, journal: JournalState) -> str:
        if journal_states.is_late(journal):
            return "late"
        return "shipped" if journal.unshipped_since is None else "waiting"

    def has_forget_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("metering.change_journalstate")

    @action(description="Forget: this journal is gone for good", permissions=["forget"])  # type: ignore[untyped-decorator]
    def forget(self, request: HttpRequest, chosen: QuerySet[JournalState]) -> None:
        for journal in chosen:
            journal_states.forget(journal)
        self.message_user(request, "Forgotten. A journal that is shipped again comes back.")


@admin.register(RequestDay)
class RequestDayAdmin(ReadOnly, ModelAdmin):
    list_display = ["day", "journal_name", "opened", "by_outcome", "duplicates", "still_open", "missing", "checked_at"]
    list_filter = ["journal_name"]
    date_hierarchy = "day"
    show_full_result_count = False

    @admin.display(description="events by outcome")
    def by_outcome(self, row: RequestDay) -> str:
        return ", ".join(f"{outcome} {events:,}" for outcome, events in sorted(row.outcomes.items()))


@admin.register(Alert)
class AlertAdmin(ReadOnly, ModelAdmin):
    list_display = ["kind", "state", "subject", "message", "first_seen_at", "last_seen_at", "resolved_at", "mailed_at"]
    list_filter = [("resolved_at", admin.EmptyFieldListFilter), "kind"]
    search_fields = ["subject", "message"]
    ordering = [F("resolved_at").desc(nulls_first=True), "-last_seen_at"]  # What is open comes first.
    actions = ["resolve"]
    show_full_result_count = False

    # unfold brings no types.
    @display(description="state", label={"open": "danger", "over": "success"})  # type: ignore[untyped-decorator]
    def state(self, alert: Alert) -> str:
        return "open" if alert.resolved_at is None else "over"

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("metering.change_alert")

    @action(description="Close: it was dealt with", permissions=["resolve"])  # type: ignore[untyped-decorator]
    def resolve(self, request: HttpRequest, chosen: QuerySet[Alert]) -> None:
        closed = sum(alerts.resolve(alert.kind, alert.subject) for alert in chosen.filter(resolved_at=None))
        self.message_user(request, f"Closed {closed}. What is still so is raised again when it is found again.")


def open_alerts(request: HttpRequest) -> list[str] | None:
    """The badge at the top of every page: how many alerts are open."""
    count = alerts.open_by_kind().total() if request.user.is_staff else 0
    return [f"{count} open alert{'s' if count > 1 else ''}", "danger"] if count else None


@admin.register(Backfill)
class BackfillAdmin(ReadOnly, ModelAdmin):
    list_display = ["name", "tenant_id", "state", "events", "created_at", "committed_at", "reverted_at"]
    list_filter = ["state"]
    search_fields = ["name", "=tenant_id"]
    actions = ["commit", "revert"]
    show_full_result_count = False

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Nobody edits a backfill; whoever may change one may decide about it."""
        return request.user.has_perm("metering.change_backfill")

    @action(description="Commit: let it count", permissions=["decide"])  # type: ignore[untyped-decorator]
    def commit(self, request: HttpRequest, chosen: QuerySet[Backfill]) -> None:
        self._decide(request, chosen, backfills.commit)

    @action(description="Revert: take it back, for good", permissions=["decide"])  # type: ignore[untyped-decorator]
    def revert(self, request: HttpRequest, chosen: QuerySet[Backfill]) -> None:
        self._decide(request, chosen, backfills.revert)

    def _decide(self, request: HttpRequest, chosen: QuerySet[Backfill], deed: Callable[[Backfill], Backfill]) -> None:
        for backfill in chosen:
            try:
                decided = deed(backfill)
            except BackfillRefused as problem:
                self.message_user(request, str(problem), messages.ERROR)
            else:
                self.log_change(request, decided, f"Now {decided.state}.")
                self.message_user(request, f"{decided.name} is {decided.state}.")


@admin.register(Archive)
class ArchiveAdmin(ReadOnly, ModelAdmin):
    list_display = ["month", "part", "rows", "file_bytes", "location", "archived_at", "dropped_at"]
