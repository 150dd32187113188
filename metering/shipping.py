"""Copies journals into Postgres: the only writer of events and batches.

A batch is one stretch of one journal. Its row, unique by journal and sequence, commits together with its events, so
that each record is shipped exactly once, whatever is killed and however many shippers run. The second wall is the
event's own id: an event that is there already is left out, counted in the batch and logged.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone
from psycopg import Copy

from metering import copy_format, partitions
from metering.draft import Draft
from metering.event_rows import COLUMNS, EventRows
from metering.journal_alerts import JournalAlerts
from metering.models import Batch
from metering.reader import JournalReader, Shipped

log = logging.getLogger(__name__)

_COLUMNS = ", ".join(COLUMNS)


Watch = Callable[[UUID, JournalReader, Draft, Batch | None], None]


class Round(NamedTuple):
    """One look at one journal: what was drafted, and what was committed of it, if anything."""

    identity: UUID
    draft: Draft
    batch: Batch | None


class Shipper:
    """Ships all journals of a folder. `after_commit` is called once after a round that committed events."""

    def __init__(
        self, journals: Path, *, records_max: int, after_commit: Callable[[], None], watch: Watch | None = None
    ) -> None:
        self._journals = journals
        self._records_max = records_max
        self._after_commit = after_commit
        self._watch = watch
        self._alerts = JournalAlerts()
        self._readers: dict[Path, JournalReader] = {}

    def ship_round(self) -> list[Batch]:
        """At most one batch of each journal, so that a busy one does not hold up the others.

        A journal that cannot be shipped is logged, every round, raises an alert, and the others go on. Raises
        OperationalError or InterfaceError where Postgres is away; a repeated round then goes on from what was
        committed.
        """
        batches: list[Batch] = []
        try:
            for reader in self._current_readers():
                self._ship_one(reader, batches)
        finally:
            if any(batch.events for batch in batches):
                self._after_commit()
        return batches

    def is_behind(self, batches: list[Batch]) -> bool:
        """Whether the last round, which committed these, met the limit of a batch, so that more is likely there."""
        return any(batch.records >= self._records_max for batch in batches)

    def _current_readers(self) -> list[JournalReader]:
        folders = sorted(path for path in self._journals.iterdir() if path.is_dir()) if self._journals.exists() else []
        self._readers = {folder: self._readers.get(folder) or JournalReader(folder) for folder in folders}
        return list(self._readers.values())

    def _ship_one(self, reader: JournalReader, batches: list[Batch]) -> None:
        try:
            seen = ship_draft(reader, self._records_max)
            if seen is None:
                return
            if seen.batch is not None:
                batches.append(seen.batch)
            self._alerts.tell(seen.identity, reader.folder, seen.draft.problem)
            if self._watch is not None:
                self._watch(seen.identity, reader, seen.draft, seen.batch)
        except (OperationalError, InterfaceError):
            raise
        except Exception as problem:  # Whatever it is, the other journals must go on, and it is said in every round.
            log.exception("Journal %s is not shipped.", reader.folder)
            self._alerts.tell(None, reader.folder, problem)


def ship_next(reader: JournalReader, records_max: int) -> Batch | None:
    """Commit the journal's next batch; None where no request has ended since the last one."""
    seen = ship_draft(reader, records_max)
    return None if seen is None else seen.batch


def ship_draft(reader: JournalReader, records_max: int) -> Round | None:
    """Commit the journal's next batch, if there is one; None where no writer has opened the journal yet.

    Another shipper may commit the same records meanwhile; then the next ones are read.
    """
    identity = reader.identity()
    if identity is None:
        return None
    one_by_one = False
    while True:
        draft = Draft(reader, _position(identity), records_max, one_by_one=one_by_one)
        batch, overtaken = None, False
        if draft.is_worth_a_batch():
            batch, overtaken = _commit(identity, reader.folder.name, draft)
        if batch is not None or not (overtaken or draft.again):
            break
        one_by_one = draft.again
    if draft.problem is not None:
        log.error("Journal %s: %s", reader.folder, draft.problem)
    elif draft.shipped is not None:
        reader.delete_shipped(draft.shipped)
    return Round(identity, draft, batch)


def _position(identity: UUID) -> Shipped | None:
    batch = Batch.objects.filter(journal_id=identity).order_by("-last").only("last", "last_checksum").first()
    if batch is None or batch.last is None or batch.last_checksum is None:  # The last two never are, for a journal's.
        return None
    return Shipped(batch.last, batch.last_checksum)


def _commit(identity: UUID, name: str, draft: Draft) -> tuple[Batch | None, bool]:
    """Commit these records, which follow what is shipped; also say whether another shipper was quicker."""
    encoder = EventRows(_next_batch_id())
    partitions.ensure(draft.begin(encoder))
    if draft.last is None:
        return None, False
    with transaction.atomic():
        _lock(identity)
        if _position(identity) != draft.shipped:
            return None, True
        duplicates = 0
        try:
            with transaction.atomic():
                _copy("metering_event", draft)
        except IntegrityError:
            draft.begin_again(encoder)
            duplicates = _copy_new_ones(draft)
        batch = _batch_of(draft, identity, name, encoder.batch_id, duplicates)
        batch.save(force_insert=True)
    if draft.shipped is None and draft.first > 1:
        log.warning(
            "Journal %s is new to this database and begins with record %d: the records before were shipped elsewhere.",
            name, draft.first,
        )  # fmt: skip
    if duplicates:
        log.error("%d events of journal %s were there already and were left out.", duplicates, batch)
    return batch, False


def _next_batch_id() -> int:
    """Its rows must name the batch before it is known how far it goes, which is when its own row is written."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('metering_batch', 'id'))")
        return int(cursor.fetchone()[0])


def _lock(identity: UUID) -> None:
    """Let one shipper at a time commit of this journal; the lock ends with the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"metering.journal.{identity}"])


def _batch_of(draft: Draft, identity: UUID, name: str, batch_id: int, duplicates: int) -> Batch:
    assert draft.last is not None  # There are rows, so there is a last record.
    return Batch(
        pk=batch_id,
        kind=Batch.Kind.JOURNAL,
        journal_id=identity,
        journal_name=name,
        first=draft.first,
        last=draft.last.sequence,
        last_checksum=draft.last.checksum,
        opened=draft.opened,
        events=draft.events - duplicates,
        duplicates=duplicates,
        committed_at=timezone.now(),
    )


def _copy(table: str, draft: Draft) -> None:
    """Copy the rows while they are made: Postgres works on some while we read the next."""
    statement = f"COPY {table} ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, connection.wrap_database_errors:
        copying: AbstractContextManager[Copy] = cursor.copy(statement)
        with copying as copy:
            copy.write(copy_format.HEADER)
            for rows in draft.rows():
                copy.write(rows)
            copy.write(copy_format.TRAILER)


def _copy_new_ones(draft: Draft) -> int:
    """Write only the events whose id is not there yet: the first one committed counts. Return how many were there.

    A journal that is shipped anew brings ids again. Doubling them would bill twice, and refusing the batch would hold
    up all that follows it for ever.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE metering_staging (LIKE metering_event INCLUDING DEFAULTS) ON COMMIT DROP"
        )
        _copy("metering_staging", draft)
        cursor.execute(
            f"INSERT INTO metering_event ({_COLUMNS}) SELECT {_COLUMNS} FROM metering_staging"  # noqa: S608 - constants
            " ON CONFLICT (id, occurred_at) DO NOTHING"
        )
        written: int = cursor.rowcount
        cursor.execute("DROP TABLE metering_staging")
    return draft.events - written
