"""The event table's partitions: one a month of UTC, made before a row needs it, dropped by metering/archive.py."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import connection, transaction
from django.utils import timezone

from metering import alerts

MONTHS_AHEAD = 2
MISSING = "partitions_missing"
_LOCK = "metering.partitions"
_NAME = re.compile(r"metering_event_([0-9]{4})_([0-9]{2})")


def month_of(at: datetime) -> datetime:
    """The UTC month that holds `at`, as its first instant."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(month: datetime) -> datetime:
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def name_of(month: datetime) -> str:
    """The table that holds this month's events."""
    return f"metering_event_{month:%Y_%m}"


def ensure(months: Iterable[datetime]) -> list[str]:
    """Make the partitions of these months that are missing; return the names of those made.

    Two processes may do it at once: a lock lets one of them pass, and the other then finds them there. The lock is
    held until the transaction ends, so call it in one of its own and not with rows in the same transaction.
    """
    wanted = {name_of(month): month for month in sorted(set(months))}
    missing = wanted.keys() - _existing()
    if not missing:
        return []
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [_LOCK])
        missing = wanted.keys() - _existing()
        for name in sorted(missing):
            month = wanted[name]
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF metering_event FOR VALUES FROM (%s) TO (%s)",
                [month, next_month(month)],
            )
    return sorted(missing)


def ensure_ahead(now: datetime | None = None) -> list[str]:
    """Make the partitions of this month and of the next MONTHS_AHEAD."""
    return ensure(_ahead(now or timezone.now()))


def keep_ahead(now: datetime | None = None) -> list[str]:
    """As `ensure_ahead`; besides, an alert tells whether one of them is missing even so."""
    now = now or timezone.now()
    try:
        return ensure_ahead(now)
    finally:
        check_ahead(now)


def check_ahead(now: datetime | None = None) -> list[str]:
    """The names of partitions ahead that are missing; an alert is open as long as there are any.

    Shipping makes what it needs even so. But where nobody may make tables any more, it would stop with the month.
    """
    missing = sorted({name_of(month) for month in _ahead(now or timezone.now())} - _existing())
    if missing:
        message = (
            f"{', '.join(missing)} cannot be made or was dropped: without it no usage of that month is shipped."
            " Look into the worker's log; the database's user must own metering_event."
        )
        alerts.raise_alert(MISSING, "metering_event", message, missing=missing)
    else:
        alerts.resolve(MISSING, "metering_event")
    return missing


def months() -> list[datetime]:
    """The months whose events are in the database, oldest first. Older ones are in the archive alone."""
    found = filter(None, map(_NAME.fullmatch, _existing()))
    return sorted(datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC) for match in found)


def _ahead(now: datetime) -> list[datetime]:
    ahead = [month_of(now)]
    for _ in range(MONTHS_AHEAD):
        ahead.append(next_month(ahead[-1]))
    return ahead


def _existing() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid"
            " WHERE inhparent = 'metering_event'::regclass"
        )
        return {name for (name,) in cursor.fetchall()}
