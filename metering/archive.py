"""Retention: a month of events is written to the archive, read back, compared, and only then dropped.

The only writer of archives, and the only place that drops events. The steps of a month: write its Parquet file, store
it, read it back, record it; then, in one transaction, keep writers out of the partition, compare it once more with the
file, drop it and say so in the record. Killed anywhere, the next run finds either no record, or a record whose month is
still there, and takes it up; the file has the same name then, so that no second one is left beside it.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from metering import alerts, archive_file, partitions
from metering.archive_file import Figures
from metering.archive_store import ArchiveStore, Stored
from metering.models import Archive

log = logging.getLogger(__name__)

# Usage may be sent 35 days late, and a month is closed and corrected in the one after it: with three whole months kept
# besides the running one, the youngest month that goes ended at least 89 days ago.
MONTHS_KEPT_MIN = 3
FAILED = "archive_failed"
LOCK_TIMEOUT_MS = 3_000
DROP_ATTEMPTS = 3
_LOCK = "metering.archive"
_IS_COUNTED_NOT = """
    SELECT EXISTS (SELECT FROM {table} WHERE batch_id IN (SELECT id FROM metering_batch WHERE folded_at IS NULL))
"""


class CannotArchive(Exception):
    """A month stays where it is, for this reason."""


class NoSuchMonth(CannotArchive):
    """There are no events of this month in the database."""


class TooYoung(CannotArchive):
    """Events of this month may still arrive, be corrected or be invoiced."""


class NotYetCounted(CannotArchive):
    """Some events of this month are not in the buckets yet, or belong to a backfill that is open."""


class ArchiveDiffers(CannotArchive):
    """What was read back is not what the partition holds."""


class PartitionInUse(CannotArchive):
    """The partition cannot be locked: something reads or writes events for a long time."""


@dataclass(frozen=True)
class _Written:
    """A record whose file was read back just now."""

    record: Archive
    stored: Stored
    figures: Figures


def archive_due(now: datetime | None = None) -> list[Archive]:
    """Archive and drop every month that is older than the setting says; return what was dropped.

    A month that cannot be archived raises an alert and leaves the others to their turn. Where another run is at work,
    nothing is done.
    """
    kept = settings.TOKENWORKS_EVENT_MONTHS_KEPT
    if kept == 0:
        return []
    with _alone() as alone:
        if not alone:
            log.info("Another run is archiving.")
            return []
        return [done for month in due(now or timezone.now(), kept) if (done := _try(month)) is not None]


def archive_month(month: datetime, now: datetime | None = None) -> Archive | None:
    """Archive and drop this one month now; None where another run is at work. Raises CannotArchive, and what the store
    raises."""
    if month not in due(now or timezone.now(), MONTHS_KEPT_MIN):
        if month not in partitions.months():
            raise NoSuchMonth(f"There are no events of {month:%Y-%m} in the database.")
        raise TooYoung(f"Events of {month:%Y-%m} must be kept: {MONTHS_KEPT_MIN} whole months and the running one are.")
    with _alone() as alone:
        return _archive(month) if alone else None


def due(now: datetime, kept: int) -> list[datetime]:
    """The months in the database that ended before the last `kept` whole months began, oldest first."""
    running = partitions.month_of(now)
    return [month for month in partitions.months() if _ordinal(running) - _ordinal(month) > kept]


def _ordinal(month: datetime) -> int:
    return month.year * 12 + month.month


def _try(month: datetime) -> Archive | None:
    subject = f"{month:%Y-%m}"
    try:
        return _archive(month)
    except Exception as problem:  # Whatever it is, the other months go on, and somebody is told.
        log.exception("The events of %s are not archived.", subject)
        message = f"The events of {subject} stay in the database: {problem} It is tried again every night."
        alerts.raise_alert(FAILED, subject, message, problem=type(problem).__name__)
        return None


def _archive(month: datetime) -> Archive:
    store = ArchiveStore(settings.TOKENWORKS_ARCHIVE_URL)
    with _working_file(month) as path:
        written = _take_up(store, month, path) or _write(store, month, path)
        for _ in range(DROP_ATTEMPTS):
            if _drop(store, month, written):
                alerts.resolve(FAILED, f"{month:%Y-%m}")
                log.info("%s events of %s are in %s.", written.record.rows, month.date(), written.record.location)
                return written.record
            written = _write(store, month, path)  # Late events came in between.
    raise ArchiveDiffers(f"Events of {month:%Y-%m} keep arriving while it is archived.")


def _take_up(store: ArchiveStore, month: datetime, path: Path) -> _Written | None:
    """What an earlier run recorded and did not drop, if its file is still what was recorded."""
    record = Archive.objects.filter(month=month.date(), dropped_at=None).first()
    if record is None:
        return None
    try:
        stored = store.fetch(_name(month, record.part), path)
    except FileNotFoundError:
        return None
    if stored.sha256 != bytes(record.sha256):
        return None
    return _Written(record, stored, archive_file.figures_of_file(path))


def _write(store: ArchiveStore, month: datetime, path: Path) -> _Written:
    """Write, store, read back and record the month's file."""
    table = partitions.name_of(month)
    _refuse_uncounted(table, month)
    before = Archive.objects.filter(month=month.date())
    part = 1 + before.exclude(dropped_at=None).count()
    name = _name(month, part)
    archive_file.write(table, path)
    written = archive_file.digest(path)
    store.put(name, path)
    stored = store.fetch(name, path)
    if stored.sha256 != written:
        raise ArchiveDiffers(f"{store.location(name)} is not what was written to it.")
    figures = archive_file.figures_of_file(path)
    record, _ = Archive.objects.update_or_create(
        month=month.date(),
        part=part,
        defaults={
            "location": store.location(name),
            "rows": archive_file.rows_of(figures),
            "file_bytes": stored.file_bytes,
            "sha256": stored.sha256,
            "archived_at": timezone.now(),
        },
    )
    return _Written(record, stored, figures)


def _drop(store: ArchiveStore, month: datetime, written: _Written) -> bool:
    """Drop the partition if it holds what the file holds; False where it does not.

    SHARE keeps writers of this one month out while it is summed up; readers and all other months go on. The DROP then
    needs the whole table for an instant. Both give up after LOCK_TIMEOUT_MS rather than let others queue behind them.
    """
    table = partitions.name_of(month)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
            cursor.execute(f"LOCK TABLE {table} IN SHARE MODE")
            _refuse_uncounted(table, month)
            if archive_file.figures_of_table(table) != written.figures:
                return False
            if store.version(_name(month, written.record.part)) != written.stored.version:
                raise ArchiveDiffers(f"{written.record.location} was written anew by somebody else.")
            cursor.execute(f"DROP TABLE {table}")
            written.record.dropped_at = timezone.now()
            written.record.save(update_fields=["dropped_at"])
    except OperationalError as problem:
        raise PartitionInUse(f"{table} or metering_event is in use: {problem}") from problem
    return True


def _refuse_uncounted(table: str, month: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_IS_COUNTED_NOT.format(table=table))
        (found,) = cursor.fetchone()
    if found:
        raise NotYetCounted(f"Events of {month:%Y-%m} wait for the folder, or belong to a backfill that is open.")


def _name(month: datetime, part: int) -> str:
    return f"events/month={month:%Y-%m}/part-{part:04}.parquet"


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether no other run is at work; none begins before this one ends. It ends with the connection, too."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [_LOCK])
        (taken,) = cursor.fetchone()
        try:
            yield bool(taken)
        finally:
            if taken:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [_LOCK])


@contextmanager
def _working_file(month: datetime) -> Iterator[Path]:
    """Where a month's file is while it is made: one name, so that what a killed run left is written over."""
    folder = Path(settings.TOKENWORKS_HOME) / "archiving"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{month:%Y-%m}.parquet"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
