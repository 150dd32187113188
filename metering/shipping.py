"""Copies journals into Postgres: the only writer of events and batches.

A batch is one stretch of one journal. Its row, unique by journal and sequence, commits together with its events, so
that each record is shipped exactly once, whatever is killed and however many shippers run. The second wall is the
event's own id: an event that is there already is left out, counted in the batch and logged.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone
from msgspec.structs import astuple
from psycopg import Copy
from psycopg.types.json import Jsonb

from metering import partitions
from metering.models import Batch
from metering.reader import Entry, JournalReader, Shipped
from metering.records import Closed
from metering.usage import REPORTED_UNITS

log = logging.getLogger(__name__)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Column and type, in the table's order. Binary COPY trusts the types, so they must be the table's own.
COLUMNS: dict[str, str] = {
    "id": "uuid",
    "occurred_at": "timestamptz",
    "batch_id": "int8",
    "tenant_id": "int8",
    "project_id": "int8",
    "api_key_id": "int8",
    "offering": "text",
    "deployment": "text",
    "streamed": "bool",
    "outcome": "text",
    "usage_source": "text",
    "billed": "bool",
    **dict.fromkeys(REPORTED_UNITS, "int8"),
    "upstream_status": "int2",
    "first_byte_us": "int8",
    "duration_us": "int8",
    "upstream_usage": "jsonb",
    "grade": "text",
    "service_tier": "text",
}


class Shipper:
    """Ships all journals of a folder. `after_commit` is called once after a round that committed events."""

    def __init__(self, journals: Path, *, records_max: int, after_commit: Callable[[], None]) -> None:
        self._journals = journals
        self._records_max = records_max
        self._after_commit = after_commit
        self._readers: dict[Path, JournalReader] = {}

    def ship_round(self) -> list[Batch]:
        """At most one batch of each journal, so that a busy one does not hold up the others.

        A journal that cannot be shipped is logged, every round, and the others go on. Raises OperationalError or
        InterfaceError where Postgres is away; a repeated round then goes on from what was committed.
        """
        batches = [batch for reader in self._current_readers() if (batch := self._ship_one(reader)) is not None]
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

    def _ship_one(self, reader: JournalReader) -> Batch | None:
        try:
            return ship_next(reader, self._records_max)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # Whatever it is, the other journals must go on, and it is said in every round.
            log.exception("Journal %s is not shipped.", reader.folder)
            return None


def ship_next(reader: JournalReader, records_max: int) -> Batch | None:
    """Commit the journal's next batch; None where no request has ended since the last one.

    Another shipper may commit the same records meanwhile; then the next ones are read.
    """
    identity = reader.identity()
    if identity is None:
        return None
    while True:
        shipped = _position(identity)
        reading = reader.read_after(shipped, records_max)
        if reading.problem is not None:
            log.error("Journal %s: %s", reader.folder, reading.problem)
        elif shipped is not None:
            reader.delete_shipped(shipped)
        if not reading.full and not any(isinstance(entry.record, Closed) for entry in reading.entries):
            return None  # Records of what is open alone are not worth a batch; they wait for an ending.
        _warn_of_missing_beginning(reader, shipped, reading.entries[0])
        batch = _commit(identity, reader.folder.name, shipped, reading.entries)
        if batch is not None:
            return batch


def _position(identity: UUID) -> Shipped | None:
    batch = Batch.objects.filter(journal_id=identity).order_by("-last").only("last", "last_checksum").first()
    if batch is None or batch.last is None or batch.last_checksum is None:  # The last two never are, for a journal's.
        return None
    return Shipped(batch.last, batch.last_checksum)


def _warn_of_missing_beginning(reader: JournalReader, shipped: Shipped | None, first: Entry) -> None:
    if shipped is None and first.shipped.sequence > 1:
        log.warning(
            "Journal %s is new to this database and begins with record %d: the records before were shipped elsewhere.",
            reader.folder, first.shipped.sequence,
        )  # fmt: skip


def _commit(identity: UUID, name: str, shipped: Shipped | None, entries: list[Entry]) -> Batch | None:
    """Commit these records, which follow `shipped`; None where another shipper was quicker."""
    events = [entry.record for entry in entries if isinstance(entry.record, Closed)]
    partitions.ensure(partitions.month_of(_time(event.opened.opened_at_us)) for event in events)
    with transaction.atomic():
        _lock(identity)
        if _position(identity) != shipped:
            return None
        batch = Batch.objects.create(
            kind=Batch.Kind.JOURNAL,
            journal_id=identity,
            journal_name=name,
            first=entries[0].shipped.sequence,
            last=entries[-1].shipped.sequence,
            last_checksum=entries[-1].shipped.checksum,
            events=len(events),
            duplicates=0,
            committed_at=timezone.now(),
        )
        try:
            with transaction.atomic():
                _copy("metering_event", batch, events)
        except IntegrityError:
            _copy_new_ones(batch, events)
    return batch


def _lock(identity: UUID) -> None:
    """Let one shipper at a time commit of this journal; the lock ends with the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"metering.journal.{identity}"])


def _copy(table: str, batch: Batch, events: list[Closed]) -> None:
    statement = f"COPY {table} ({', '.join(COLUMNS)}) FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, connection.wrap_database_errors:
        copying: AbstractContextManager[Copy] = cursor.copy(statement)
        with copying as copy:
            copy.set_types(list(COLUMNS.values()))
            for event in events:
                copy.write_row(_row(batch, event))


def _copy_new_ones(batch: Batch, events: list[Closed]) -> None:
    """Write only the events whose id is not there yet: the first one committed counts.

    A journal that is shipped anew brings ids again. Doubling them would bill twice, and refusing the batch would hold
    up all that follows it for ever.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE metering_staging (LIKE metering_event INCLUDING DEFAULTS) ON COMMIT DROP"
        )
        _copy("metering_staging", batch, events)
        columns = ", ".join(COLUMNS)
        cursor.execute(
            f"INSERT INTO metering_event ({columns}) SELECT {columns} FROM metering_staging"  # noqa: S608 - constants
            " ON CONFLICT (id, occurred_at) DO NOTHING"
        )
        batch.events = cursor.rowcount
        cursor.execute("DROP TABLE metering_staging")
    batch.duplicates = len(events) - batch.events
    batch.save(update_fields=["events", "duplicates"])
    log.error("%d events of journal %s were there already and were left out.", batch.duplicates, batch)


def _row(batch: Batch, closed: Closed) -> tuple[Any, ...]:
    """An event's row. A clock that was set back gives a duration of 0, never a negative one."""
    opened = closed.opened
    usage = closed.usage
    first_byte_us = None if closed.first_byte_at_us is None else max(0, closed.first_byte_at_us - opened.opened_at_us)
    return (
        UUID(bytes=opened.event_id),
        _time(opened.opened_at_us),
        batch.pk,
        opened.tenant_id,
        opened.project_id,
        opened.api_key_id,
        opened.offering,
        opened.deployment,
        opened.streamed,
        closed.outcome,
        closed.usage_source,
        closed.billed,
        *astuple(usage),
        closed.upstream_status,
        first_byte_us,
        max(0, closed.closed_at_us - opened.opened_at_us),
        None if closed.upstream_usage is None else Jsonb(_storable(closed.upstream_usage), dumps=bytes),
        closed.grade,
        opened.service_tier,
    )


def _storable(words: bytes) -> bytes:
    """The upstream's words as they are where jsonb takes them, else wrapped: what it said must not stop its billing."""
    try:
        msgspec.json.decode(words)
        refused = b"\\u0000" in words  # Valid JSON, but Postgres has no such character.
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        refused = True
    return msgspec.json.encode({"unreadable_base64": words}) if refused else words


def _time(at_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=at_us)
