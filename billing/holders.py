"""Who holds how much of the budgets: the gateways of each journal, by what they last said."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from billing.budgets import all_budgets, time_zones
from billing.counters import counters
from billing.errors import JournalUnclear
from billing.windows import BASE, LEASED, counter_key, window_at
from metering.models import Batch


@dataclass(frozen=True)
class Holder:
    """A journal whose gateway has leases of `budgets` current windows of budgets. Unshipped, it has no name here."""

    journal: UUID
    name: str
    last_shipped_at: datetime | None
    budgets: int

    def __str__(self) -> str:
        shipped = f"shipped until {self.last_shipped_at:%Y-%m-%d %H:%M:%S} UTC" if self.last_shipped_at else "unshipped"
        return f"{self.journal.hex}  {self.name or '?'}  {shipped}  leases of {self.budgets} budgets"


def holders() -> list[Holder]:
    """Those that hold something now, those first that have been silent longest."""
    found = Counter(_leasing())
    rows = [_holder(UUID(hex=journal), number) for journal, number in found.items()]
    return sorted(rows, key=lambda row: (row.last_shipped_at is not None, row.last_shipped_at, row.name))


def journal_of(text: str) -> UUID:
    """The journal of this id or name. Raises JournalUnclear where it is none, or more than one."""
    journals = dict(Batch.objects.filter(journal_name=text).order_by().values_list("journal_id", "journal_name"))
    journals |= {holder.journal: holder.name for holder in holders() if holder.journal.hex == text}
    if len(journals) != 1:
        ids = ", ".join(journal.hex for journal in journals if journal is not None) or "none"
        raise JournalUnclear(f"{text!r} is not the name or id of one journal. Of that name: {ids}.")
    [journal] = journals
    assert journal is not None
    return journal


def _leasing() -> Iterator[str]:
    """The journal of each part of a current window's counter of which something is leased."""
    zones, now = time_zones(), timezone.now()
    with counters() as store:
        for budget in all_budgets():
            window = window_at(budget.window, zones[budget.tenant_id], budget.since_s, now)
            for journal, part in store.hgetall(counter_key(budget.name, window)).items():
                if journal != BASE and int(part.split()[LEASED]):
                    yield journal


def _holder(journal: UUID, number: int) -> Holder:
    batch = Batch.objects.filter(journal_id=journal).order_by("-last").first()
    return Holder(journal, batch.journal_name if batch else "", batch.committed_at if batch else None, number)
