"""The windows of budgets, and the names and fields of the counters that gateways and office share. Pure.

A counter is a hash in Valkey, one for each budget and window, in 10^-9 of the currency or in tokens. Its field `base`
holds what was used before gateways began to count; without it nothing may be given away. Every other field is
a gateway's, by the id of its journal: `life version spent leased sequence expires_ms`, the values that it had last.
The window is part of the name, so nothing is ever reset. The life is `recounted` where the base counts that journal up
to that sequence: what is spent is then in both, until the gateway has worked out what came behind.

BEGAN says since when Valkey knows what it knows. It is there as long as nothing was lost.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from billing.periods import day_start, month_at

BASE = "base"
RECOUNTED = "recounted"
BEGAN = "tokenworks:began"
BEGAN_SCRIPT = """
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('SET', KEYS[1], now, 'NX')
return { redis.call('GET', KEYS[1]), now }
"""
NANO_IN_PICO = 1000
_SPENT = 2
LEASED = 3  # Of a part's six words.


@dataclass(frozen=True, slots=True)
class Window:
    """From one instant to another, in seconds since the epoch; without an end it lasts for ever."""

    start_s: int
    end_s: int | None


def window_at(kind: str, time_zone: str, since_s: int, at: datetime) -> Window:
    """The day or month of the time zone that `at` falls in; in total, everything since `since_s`."""
    if kind == "total":
        return Window(since_s, None)
    if kind == "month":
        month = month_at(at, time_zone)
        return Window(_seconds(month.start), _seconds(month.end))
    return _day_at(at, ZoneInfo(time_zone))


def windows_from(kind: str, time_zone: str, since_s: int, at: datetime, number: int) -> Iterator[Window]:
    """The window of `at` and those that follow it, `number` in all; in total there is one."""
    window = window_at(kind, time_zone, since_s, at)
    yield window
    for _ in range(number - 1):
        if window.end_s is None:
            return
        window = window_at(kind, time_zone, since_s, datetime.fromtimestamp(window.end_s, UTC))
        yield window


def counter_key(name: str, window: Window) -> str:
    return f"tokenworks:{name}:{window.start_s}"


def nano(pico: int) -> int:
    """10^-12 of a currency as 10^-9, rounded up: a budget rather ends early than late."""
    return -(-pico // NANO_IN_PICO)


def used(fields: Mapping[str, str]) -> int | None:
    """What a counter says was used, without what is only leased; None while it has no base."""
    if BASE not in fields:
        return None
    own = (text.split() for name, text in fields.items() if name != BASE)
    return int(fields[BASE]) + sum(int(values[_SPENT]) for values in own)


def _day_at(at: datetime, zone: ZoneInfo) -> Window:
    """As with months, the wall's date alone would not do where clocks go back over midnight."""
    day = at.astimezone(zone).date()
    if at >= day_start(_after(day), zone):
        day = _after(day)
    return Window(_seconds(day_start(day, zone)), _seconds(day_start(_after(day), zone)))


def _after(day: date) -> date:
    return day + timedelta(days=1)


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
