"""The event table's partitions: one a month of UTC, made before a row needs it."""

from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import connection, transaction
from django.utils import timezone

MONTHS_AHEAD = 2
_LOCK = "metering.partitions"


def month_of(at: datetime) -> datetime:
    """The UTC month that holds `at`, as its first instant."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(month: datetime) -> datetime:
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def ensure(months: Iterable[datetime]) -> list[str]:
    """Make the partitions of these months that are missing; return the names of those made.

    Two processes may do it at once: a lock lets one of them pass, and the other then finds them there. The lock is
    held until the transaction ends, so call it in one of its own and not with rows in the same transaction.
    """
    wanted = {f"metering_event_{month:%Y_%m}": month for month in sorted(set(months))}
    missing = wanted.keys() - _existing(wanted)
    if not missing:
        return []
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [_LOCK])
        missing = wanted.keys() - _existing(wanted)
        for name in sorted(missing):
            month = wanted[name]
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF metering_event FOR VALUES FROM (%s) TO (%s)",
                [month, next_month(month)],
            )
    return sorted(missing)


def ensure_ahead(now: datetime | None = None) -> list[str]:
    """Make the partitions of this month and of the next MONTHS_AHEAD."""
    months = [month_of(now or timezone.now())]
    for _ in range(MONTHS_AHEAD):
        months.append(next_month(months[-1]))
    return ensure(months)


def _existing(names: Iterable[str]) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid"
            " WHERE inhparent = 'metering_event'::regclass AND child.relname = ANY(%s)",
            [list(names)],
        )
        return {name for (name,) in cursor.fetchall()}
