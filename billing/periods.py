"""Months as two UTC instants, whatever the tenant's clocks do meanwhile. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from metering.zones import QUARTER

QUARTER_HOUR = QUARTER  # Periods begin and end where buckets do.
QUARTER_HOUR_S = QUARTER_HOUR // timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Month:
    """A calendar month in a time zone, as the half-open range of UTC instants `[start, end)`."""

    first_day: date
    time_zone: str
    start: datetime
    end: datetime

    @property
    def last_day(self) -> date:
        return next_month(self.first_day) - timedelta(days=1)

    def __str__(self) -> str:
        return f"{self.first_day:%Y-%m}"


class NotAMonth(ValueError):
    """A month is written as year and month, such as 2026-11."""


def parse_month(text: str) -> date:
    """The first day of a month written as 2026-11."""
    if re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text, re.ASCII) is None or text < "1970" or text >= "9999":
        raise NotAMonth(f"{text!r} is not a month. Write year and month, such as 2026-11.")
    return date(int(text[:4]), int(text[5:]), 1)


def month(first_day: date, time_zone: str) -> Month:
    """The month that begins on `first_day` where `time_zone` (an IANA name) is the law.

    A month's end is the next one's start, worked out by the same function: so months are contiguous by construction,
    across changes of the clock and of the zone's rules.
    """
    if first_day.day != 1:
        raise NotAMonth(f"{first_day} is not the first day of a month.")
    zone = ZoneInfo(time_zone)
    return Month(first_day, time_zone, day_start(first_day, zone), day_start(next_month(first_day), zone))


def month_at(at: datetime, time_zone: str) -> Month:
    """The month that an instant falls in.

    The wall's date alone would not do: on 1 November 2009 the clocks of St. John's went from 00:01 back to 23:01 of
    31 October, and that hour belongs to the month that had begun.
    """
    found = month(at.astimezone(ZoneInfo(time_zone)).date().replace(day=1), time_zone)
    return found if at < found.end else month(next_month(found.first_day), time_zone)


def months_in(time_zone: str) -> Callable[[datetime], date]:
    """A function from an instant to the first day of its month there. It remembers what it was asked."""

    @cache
    def month_of(at: datetime) -> date:
        return month_at(at, time_zone).first_day

    return month_of


def next_month(first_day: date) -> date:
    return (first_day.replace(day=1) + timedelta(days=32)).replace(day=1)


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """The instant a civil day begins, in UTC.

    Where the clocks skip midnight, the day begins at the instant of the skip: the wall time that does not exist is
    read with the offset before it (PEP 495, fold=0), which names that instant. Where midnight happens twice, the
    first one counts.
    """
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def is_on_quarter_hour(at: datetime) -> bool:
    return (at - _EPOCH) % QUARTER_HOUR == timedelta(0)
