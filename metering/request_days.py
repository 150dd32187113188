"""Holds requests that were opened against the events they became, by journal and day: the only writer of request days.

In a journal, opened = closed + still open, from its first record on. Batches say how many of their records opened and
closed a request, and a shipper counts now and then how many are open in the journal itself. So a request that is in no
event and not open either was lost by somebody, and an event without a request was made up.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum
from django.utils import timezone

from metering import alerts
from metering.journal_states import subject
from metering.models import Batch, Event, JournalState, RequestDay

KIND = "requests_without_event"
DAY = timedelta(days=1)
DAYS_BACK_MAX = 35
WRITTEN = ("journal_name", "opened", "closed", "outcomes", "duplicates", "still_open", "missing", "checked_at")


@dataclass(frozen=True)
class Shipped:
    """What was shipped of a journal on a day. `opened` is None where an older version shipped some of it."""

    journal_id: UUID
    journal_name: str
    first: int
    opened: int | None
    events: int
    duplicates: int

    @property
    def closed(self) -> int:
        return self.events + self.duplicates


def check_due(now: datetime | None = None) -> int:
    """Check yesterday (UTC), and the days before it that nobody checked; return how many rows were written."""
    yesterday = (now or timezone.now()).astimezone(UTC).date() - DAY
    last = RequestDay.objects.aggregate(last=Max("day"))["last"] or yesterday
    day = max(min(last + DAY, yesterday), yesterday - DAYS_BACK_MAX * DAY)
    written = 0
    while day <= yesterday:
        written += len(check(day))
        day += DAY
    return written


def check(day: date) -> list[RequestDay]:
    """Write the day's row of each journal that was shipped on it, and alert where requests and events do not agree."""
    outcomes = _outcomes(day)
    rows = [_row(day, shipped, outcomes.get(shipped.journal_id, {})) for shipped in _shipped_on(day)]
    for row in rows:
        given = {name: getattr(row, name) for name in WRITTEN}
        RequestDay.objects.update_or_create(day=row.day, journal_id=row.journal_id, defaults=given)
        _tell(row)
    return rows


def _end_of(day: date) -> datetime:
    return datetime.combine(day + DAY, time(), UTC)


def _batches(**named: object) -> QuerySet[Batch]:
    return Batch.objects.filter(kind=Batch.Kind.JOURNAL, **named).order_by()


def _shipped_on(day: date) -> Iterator[Shipped]:
    shipped = _batches(committed_at__gte=_end_of(day - DAY), committed_at__lt=_end_of(day)).values("journal_id")
    found = shipped.annotate(
        name=Max("journal_name"),
        start=Min("first"),
        begun=Sum("opened"),
        unknown=Count("id", filter=Q(opened=None)),
        written=Sum("events"),
        left_out=Sum("duplicates"),
    )
    for each in found.order_by("name", "journal_id"):
        if each["journal_id"] is not None:  # Which it never is, for a journal's batch.
            opened = None if each["unknown"] else each["begun"]
            yield Shipped(each["journal_id"], each["name"], each["start"], opened, each["written"], each["left_out"])


def _outcomes(day: date) -> dict[UUID, dict[str, int]]:
    """Events in the table by journal and outcome, whatever the batches say of them."""
    journals = dict(
        _batches(committed_at__gte=_end_of(day - DAY), committed_at__lt=_end_of(day)).values_list("id", "journal_id")
    )
    counted: dict[UUID, dict[str, int]] = {}
    if journals:
        found = Event.objects.filter(batch_id__range=(min(journals), max(journals))).order_by()
        for batch_id, outcome, events in found.values_list("batch_id", "outcome").annotate(events=Count("*")):
            if (journal_id := journals.get(batch_id)) is not None:
                of_journal = counted.setdefault(journal_id, {})
                of_journal[outcome] = of_journal.get(outcome, 0) + events
    return counted


def _row(day: date, shipped: Shipped, outcomes: dict[str, int]) -> RequestDay:
    """The day's row. What is missing is told once: `still_open` goes on from what the journal itself says."""
    by_books = _open_by_books(day, shipped)
    by_journal = _open_by_journal(day, shipped.journal_id)
    missing = None if by_books is None or by_journal is None else by_books - by_journal
    return RequestDay(
        day=day,
        journal_id=shipped.journal_id,
        journal_name=shipped.journal_name,
        opened=shipped.opened,
        closed=shipped.closed,
        outcomes=outcomes,
        duplicates=shipped.duplicates,
        still_open=by_books if by_journal is None else by_journal,
        missing=missing,
        checked_at=timezone.now(),
    )


def _open_by_books(day: date, shipped: Shipped) -> int | None:
    """What was open at the end of the day: what was open before, and opened, and not closed. None: not known."""
    before = RequestDay.objects.filter(journal_id=shipped.journal_id, day__lt=day).order_by("-day").first()
    base = before.still_open if before else (0 if shipped.first == 1 else None)
    if base is None or shipped.opened is None:
        return None
    return base + shipped.opened - shipped.closed


def _open_by_journal(day: date, journal_id: UUID) -> int | None:
    """What was open at the end of the day: as counted in the journal, less or more what was shipped in between."""
    state = JournalState.objects.filter(journal_id=journal_id, still_open__isnull=False).first()
    if state is None or state.still_open is None:
        return None
    end, of_journal = _end_of(day), _batches(journal_id=journal_id)
    since = _net(of_journal.filter(committed_at__gte=end, last__lte=state.counted_to))
    until = _net(of_journal.filter(committed_at__lt=end, last__gt=state.counted_to))
    return None if since is None or until is None else state.still_open - since + until


def _net(batches: QuerySet[Batch]) -> int | None:
    """Requests that these batches opened, less those that they closed; None where that is not known of one."""
    found = batches.aggregate(
        net=Sum(F("opened") - F("events") - F("duplicates")), unknown=Count("id", filter=Q(opened=None))
    )
    return None if found["unknown"] else found["net"] or 0


def _tell(row: RequestDay) -> None:
    named = f"{subject(row.journal_name, row.journal_id)} {row.day:%Y-%m-%d}"
    reasons = list(_reasons(row))
    if reasons:
        alerts.raise_alert(
            KIND,
            named,
            f"{' '.join(reasons)} Keep the journal's folder as it is, and look into it with `tokenworks journal`.",
            missing=row.missing,
            opened=row.opened,
            closed=row.closed,
            outcomes=row.outcomes,
        )
    else:
        alerts.resolve(KIND, named)


def _reasons(row: RequestDay) -> Iterator[str]:
    if row.missing:
        yield (
            f"{row.missing} requests were opened, have no event and are not open any more."
            if row.missing > 0
            else f"There are {-row.missing} more ends than requests that were opened."
        )
    in_table = sum(row.outcomes.values())
    if in_table != row.closed - row.duplicates:
        yield f"The batches brought {row.closed - row.duplicates} events and the table holds {in_table} of them."
