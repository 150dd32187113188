"""Folds shipped batches into buckets of a quarter of an hour, each batch once: the only writer of buckets."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from metering.models import Batch
from metering.usage import REPORTED_UNITS, Unit

BATCHES_AT_ONCE = 50
DIFFERENCES_MAX = 1_000

_KEY_OF_EVENTS = "tenant_id, start, project_id, api_key_id, offering, deployment, grade, service_tier, billed"
_KEY = f"{_KEY_OF_EVENTS}, unit"
# Events are summed once, all their units side by side, and only the sums become a row for each unit that was reported
# and one "request". Twelve rows an event, summed by unit, took 20 times as long.
_UNITS_OF_EVENTS = f"""
    WITH sums AS MATERIALIZED (
        SELECT tenant_id, date_bin('15 minutes', occurred_at, timestamptz 'epoch') AS start, project_id, api_key_id,
               offering, deployment, grade, service_tier, billed,
               {", ".join(f"sum(sign * {unit})::bigint AS {unit}" for unit in REPORTED_UNITS)}, sum(sign) AS requests
        FROM metering_event WHERE {{events}} GROUP BY {_KEY_OF_EVENTS}
    )
    SELECT {_KEY}, quantity
    FROM sums
    CROSS JOIN LATERAL (
        VALUES {", ".join(f"('{unit}', {unit})" for unit in REPORTED_UNITS)}, ('{Unit.REQUEST}', requests)
    ) AS units (unit, quantity)
    WHERE quantity IS NOT NULL
"""  # noqa: S608 - made of constants; values are parameters
# Few keys hold many events, so they are hashed and not sorted: the planner, which cannot know this, would sort them.
_HASH_THE_SUMS = "SELECT set_config('enable_sort', 'off', true), set_config('work_mem', '32MB', true)"
# Every folder writes buckets in the order of their key. Without it two of them would lock each other out.
_FOLD = f"""
    INSERT INTO metering_bucket AS bucket ({_KEY}, quantity, updated_at)
    SELECT {_KEY}, quantity, %(now)s FROM ({_UNITS_OF_EVENTS.format(events="batch_id = ANY(%(batches)s)")}) AS folded
    ORDER BY {_KEY}
    ON CONFLICT ({_KEY}) DO UPDATE
    SET quantity = bucket.quantity + excluded.quantity, updated_at = excluded.updated_at
"""  # noqa: S608 - see above
_FOLDED_EVENTS = """occurred_at >= %(start)s AND occurred_at < %(end)s
    AND batch_id IN (SELECT id FROM metering_batch WHERE folded_at IS NOT NULL)"""
_DIFFERENCES = f"""
    SELECT {_KEY}, events.quantity, buckets.quantity
    FROM ({_UNITS_OF_EVENTS.format(events=_FOLDED_EVENTS)}) AS events
    FULL JOIN (SELECT {_KEY}, quantity FROM metering_bucket WHERE start >= %(start)s AND start < %(end)s) AS buckets
    USING ({_KEY})
    WHERE events.quantity IS DISTINCT FROM buckets.quantity
    ORDER BY {_KEY} LIMIT %(limit)s
"""  # noqa: S608 - see above


@dataclass(frozen=True)
class Difference:
    """A bucket that is not the sum of its events; None where there is no such bucket, or no such event."""

    tenant_id: int
    start: datetime
    project_id: int
    api_key_id: int
    offering: str
    deployment: str
    grade: str
    service_tier: str
    billed: bool
    unit: str
    by_events: int | None
    by_buckets: int | None


def fold_batches(limit: int = BATCHES_AT_ONCE) -> int:
    """Fold at most `limit` batches that nobody else is folding; return how many.

    Claiming, adding and marking are one transaction: a folder that is killed leaves its batches as they were. A batch
    is found by its mark and never by its id being greater than the last one's, for ids commit out of order.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        unfolded = Batch.objects.filter(folded_at=None, held=False).order_by("id").select_for_update(skip_locked=True)
        claimed = list(unfolded.values_list("id", flat=True)[:limit])
        if claimed:
            now = timezone.now()
            cursor.execute(_HASH_THE_SUMS)
            cursor.execute(_FOLD, {"now": now, "batches": claimed})
            Batch.objects.filter(id__in=claimed).update(folded_at=now)
    return len(claimed)


def fold_everything() -> int:
    """Fold until nothing is left that nobody else is folding; return how many batches."""
    folded = 0
    while count := fold_batches():
        folded += count
    return folded


def differences(
    start: datetime, end: datetime, limit: int = DIFFERENCES_MAX, *, time_limit_s: float = 0
) -> list[Difference]:
    """Buckets within [start, end) that are not the sum of their folded events; at most `limit`. Empty is right.

    One statement sees one moment, so it may run beside shippers and folders. Both instants begin a quarter. Postgres
    gives up after `time_limit_s`, and OperationalError is raised; 0 is no limit, and what is below 0 is none left.
    """
    given: dict[str, Any] = {"start": start, "end": end, "limit": limit}
    limit_ms = max(1, int(time_limit_s * 1000)) if time_limit_s else 0
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_HASH_THE_SUMS)
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(limit_ms)])
        cursor.execute(_DIFFERENCES, given)
        return [Difference(*row) for row in cursor.fetchall()]
