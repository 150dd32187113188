"""When days begin and clocks change, so that Postgres cuts days where Python cuts months and invoices. Pure.

Postgres has a time zone database of its own, and one of the two is always older: in one of them the clocks of
America/Edmonton change in November 2026, in the other they do not. So Postgres is never asked; it is told the offsets.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

QUARTER = timedelta(minutes=15)  # What buckets are cut by: every civil time zone in use is so many away from UTC.
QUARTERS_A_DAY = 96
FIRST, LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)  # No usage lies outside.
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Offset:
    """Clocks are `ahead` of UTC within [begun, ended); both begin a quarter of an hour."""

    begun: datetime
    ended: datetime
    ahead: timedelta


def offsets(zone: str, start: datetime, end: datetime) -> list[Offset]:
    """The zone's offsets from a day before `start` until `end`, without a gap, oldest first; none out of bounds."""
    begun, end = max(start.astimezone(UTC), FIRST) - _DAY, min(end.astimezone(UTC), LAST)
    if begun >= end:
        return []
    moments = [at for year in range(begun.year, end.year + 1) for at in _changes(zone, year) if begun < at < end]
    there = ZoneInfo(zone)
    return [Offset(since, until, _ahead(there, since)) for since, until in pairwise([begun, *moments, end])]


def stretches(zones: Iterable[str], start: datetime, end: datetime, step: timedelta) -> list[datetime]:
    """Instants in order, of which the first is not after `start`: between one and the next the clocks of none of these
    zones begin another hour or day (`step`), and none is changed.
    """
    found = set()
    for offset in (offset for zone in zones for offset in offsets(zone, start, end)):
        found.add(offset.begun)
        at = offset.begun + (FIRST - offset.begun - offset.ahead) % step
        while at < offset.ended:
            found.add(at)
            at += step
    return sorted(found)


@lru_cache(maxsize=10_000)
def charge_period(begun: Any, period: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """From when to when a quarter, hour, day or month is, as two instants: a day of a clock change has other hours.

    `begun` is what usage is grouped by: an instant for the short ones, a date for the long ones.
    """
    if period == "quarter":
        return begun, begun + QUARTER
    if period == "hour":
        return begun, _end_of_hour(begun, zone)
    following = next_month(begun) if period == "month" else begun + timedelta(days=1)
    return midnight(begun, zone), midnight(following, zone)


@lru_cache(maxsize=10_000)
def midnight(day: date, zone: ZoneInfo) -> datetime:
    """When this day begins. Where a clock change skips midnight, that is the change."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _end_of_hour(begun: datetime, zone: ZoneInfo) -> datetime:
    """An hour later, or where a change of the clocks cuts it."""
    end = begun + QUARTER
    while (there := end.astimezone(zone)).minute and there.utcoffset() == begun.astimezone(zone).utcoffset():
        end += QUARTER
    return end


def next_month(month: date) -> date:
    """The first day of the month after the one that begins on this day."""
    return (month + timedelta(days=31)).replace(day=1)


@lru_cache(maxsize=4_096)
def _changes(zone: str, year: int) -> tuple[datetime, ...]:
    """The first quarters of an hour at which the clocks go otherwise than in the one before, within a year of UTC."""
    there, found = ZoneInfo(zone), []
    day = datetime(year, 1, 1, tzinfo=UTC)
    while day.year == year:
        following = day + _DAY
        if _ahead(there, day) != _ahead(there, following):
            found.append(_first_change(there, day))
        day = following
    return tuple(found)


def _first_change(there: ZoneInfo, day: datetime) -> datetime:
    """By halves: no zone's clocks change twice within a day."""
    before, after = 0, QUARTERS_A_DAY
    while after - before > 1:
        middle = (before + after) // 2
        if _ahead(there, day + middle * QUARTER) == _ahead(there, day):
            before = middle
        else:
            after = middle
    return day + after * QUARTER


def _ahead(there: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(there).utcoffset() or timedelta(0)
