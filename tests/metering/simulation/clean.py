"""Postgres between seeds: what a seed left is taken away, and the partitions are what the seed wants to find."""

from datetime import UTC, datetime

from django.db import connection

from metering import partitions
from metering.models import Batch

MONTHS = [
    *(datetime(2025, month, 1, tzinfo=UTC) for month in (11, 12)),
    *(datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3, 4)),
]
TABLES = (
    *("metering_event", "metering_bucket", "metering_batch", "metering_backfill", "metering_ingestedkey"),
    *("metering_alert", "metering_journalstate"),
)


def database(*, with_partitions: bool) -> None:
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DELETE FROM {table}")
        kept = {partitions.name_of(month) for month in MONTHS} if with_partitions else set()
        for name in sorted(partitions._existing() - kept):
            cursor.execute(f"DROP TABLE {name}")
    if with_partitions:
        partitions.ensure(MONTHS)


def count_batches() -> int:
    return Batch.objects.count()


def is_something_unfolded() -> bool:
    return Batch.objects.filter(folded_at=None, held=False).exists()
