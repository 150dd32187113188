"""What a gateway's earlier life spent of a budget after its last report: its own journal knows."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from billing.rating import Tariff
from billing.windows import Window
from gateway.admission import pricing
from gateway.admission.terms import Draws, Quota
from metering import records
from metering.records import BadFrame, Closed, RecordUnreadable
from metering.segments import Segment, written
from tenants.snapshot import BudgetRow

RECORDS_MAX = 1_000_000  # More than that between two reports, a second apart, is not what happened.


class Part(NamedTuple):
    """What a counter holds of a gateway: see billing/windows.py."""

    life: str
    spent: int
    leased: int
    sequence: int

    @classmethod
    def read(cls, field: str) -> "Part":
        life, _, spent, leased, sequence, _ = field.split()
        return cls(life, int(spent), int(leased), int(sequence))


def closed_between(folder: Path, after: int, until: int) -> list[Closed] | None:
    """The endings from behind record `after` to `until`; None where the journal does not reach back, or not whole.

    The shipper keeps a journal's newest segments, so it does, unless this gateway died time and again unheard.
    """
    found = written(folder)
    if not found or found[0].first > after + 1:
        return None
    endings: list[Closed] = []
    newer = [segment.first for segment in found[1:]]
    try:
        for segment, next_first in zip(found, [*newer, None], strict=True):
            if segment.first <= until and (next_first is None or next_first > after + 1):
                endings += islice(_closed_in(segment, after, until), RECORDS_MAX + 1)
            if len(endings) > RECORDS_MAX:
                return None
    except (BadFrame, RecordUnreadable, FileNotFoundError):
        return None  # Unreadable, or shipped and deleted just now.
    return endings


def _closed_in(segment: Segment, after: int, until: int) -> Iterator[Closed]:
    with segment.path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        for frame in records.read_frames(file, offset=0, end=end, first=segment.first):
            if frame.sequence > after and isinstance(record := records.decode(frame.payload), Closed):
                yield record
            if frame.sequence >= until:
                return  # What stands behind it may be half written.


def spent_by(endings: Iterable[Closed], budget: BudgetRow, quota: Quota, window: Window, tariff: Tariff | None) -> int:
    """What these billed endings draw from a budget in its window. Raises NoPrice."""
    total = 0
    for closed in endings:
        opened = closed.opened
        if not closed.billed or not _concerns(budget, closed) or not _within(window, opened.opened_at_us):
            continue
        if quota.draws is Draws.TOKENS:
            total += pricing.tokens(closed.usage)
        elif tariff is None:
            raise pricing.NoPrice(f"The tenant {opened.tenant_id} has no prices.")
        else:
            total += pricing.cost(tariff, closed)
    return total


def _concerns(budget: BudgetRow, closed: Closed) -> bool:
    opened = closed.opened
    return (
        budget.tenant_id == opened.tenant_id
        and budget.project_id in (None, opened.project_id)
        and budget.key_id in (None, opened.api_key_id)
    )


def _within(window: Window, at_us: int) -> bool:
    at_s = at_us // 1_000_000
    return window.start_s <= at_s and (window.end_s is None or at_s < window.end_s)
