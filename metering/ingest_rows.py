"""Rows of events that were counted elsewhere, and of corrections: with metering/shipping.py the writers of events.

All statements run within the caller's transaction.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from hashlib import sha256
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.db import connection
from django.utils import timezone
from msgspec.structs import astuple
from psycopg import Copy

from metering.ingest_formats.reported import EPOCH, ReportedUsage
from metering.models import Backfill, Batch
from metering.usage import REPORTED_UNITS, UsageSource

NO_KEY = 0  # Of events that no API key of the tenant stands for.

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
    "duration_us": "int8",
    "grade": "text",
    "service_tier": "text",
    "sign": "int2",
    "corrects": "uuid",
    "source": "text",
    "external_id": "text",
}
_COPY = f"COPY metering_event ({', '.join(COLUMNS)}) FROM STDIN (FORMAT BINARY)"
_TYPES = list(COLUMNS.values())

# What is known of ids that were taken.
_KEYS = """
    SELECT asked.source, asked.external_id, known.digest, known.event_id, known.occurred_at
    FROM unnest(%(sources)s::text[], %(ids)s::text[]) AS asked (source, external_id)
    CROSS JOIN LATERAL (
        SELECT digest, event_id, occurred_at FROM metering_ingestedkey
        WHERE tenant_id = %(tenant)s AND source = asked.source AND external_id = asked.external_id LIMIT 1
    ) AS known
"""
# Keys are taken in their order, so that two calls with the same events cannot lock each other out. They are given as
# JSON, for psycopg writes arrays of so many values slowly.
_TAKE_KEYS = """
    INSERT INTO metering_ingestedkey (tenant_id, source, external_id, event_id, occurred_at, digest)
    SELECT %(tenant)s, * FROM json_to_recordset(%(events)s::json)
        AS taken (source text, external_id text, event_id uuid, occurred_at timestamptz, digest bytea)
    ORDER BY source, external_id
    ON CONFLICT (tenant_id, source, external_id) DO NOTHING
    RETURNING event_id
"""

_COPIED = [name for name in (*COLUMNS, "upstream_status", "first_byte_us", "upstream_usage") if name not in
           ("id", "batch_id", "sign", "corrects")]  # fmt: skip
# The LIMIT here, and in other statements of this kind, keeps each look-up on its index: where statistics are not yet
# of today, the planner would rather read all there is of the tenant.
TAKE_AWAY = f"""
    INSERT INTO metering_event (id, batch_id, sign, corrects, {", ".join(_COPIED)})
    SELECT taken.id, %(batch)s, -1, event.id, {", ".join(f"event.{name}" for name in _COPIED)}
    FROM {{taken}} CROSS JOIN LATERAL (
        SELECT * FROM metering_event WHERE id = taken.event_id AND occurred_at = taken.occurred_at LIMIT 1
    ) AS event
"""  # noqa: S608 - made of constants; values are parameters
_TAKE_AWAY = TAKE_AWAY.format(
    taken="unnest(%(ids)s::uuid[], %(events)s::uuid[], %(times)s::timestamptz[]) AS taken (id, event_id, occurred_at)"
)


class Placed(msgspec.Struct, frozen=True):  # Made for each event, and faster made than a dataclass.
    """An event with all that its row needs: where it belongs, when it was, and the ids that follow from that."""

    index: int
    said: ReportedUsage
    digest: bytes
    event_id: UUID
    occurred_at: datetime
    tenant_id: int
    project_id: int
    api_key_id: int
    corrects: UUID | None = None


def name_of(said: ReportedUsage) -> tuple[str, str]:
    """What an event is known by within its tenant."""
    return said.source, said.external_id


def digest_of(said: ReportedUsage) -> bytes:
    """What a repetition must equal, in whatever format it comes."""
    return sha256(_encoder.encode(said)).digest()


def event_id_of(tenant_id: int, backfill_id: int, said: ReportedUsage, at_us: int, part: bytes = b"") -> UUID:
    """A UUIDv7 of the event's time whose other bits follow from its name, so that the table refuses it twice.

    The ids of a backfill are its own, for one that was reverted may be sent again.
    """
    named = _encoder.encode((tenant_id, backfill_id, said.source, said.external_id, part))
    bits = int.from_bytes(sha256(named).digest()[:10])
    return UUID(int=(at_us // 1000 << 80 | bits) & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62)


def time_of(at_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=at_us)


_encoder = msgspec.msgpack.Encoder()


def new_batch(kind: Batch.Kind, events: int, *, duplicates: int = 0, backfill: Backfill | None = None) -> Batch:
    """The batch of a call. That of an open backfill is held back."""
    return Batch.objects.create(
        kind=kind,
        events=events,
        duplicates=duplicates,
        backfill=backfill,
        held=backfill is not None and kind == Batch.Kind.INGEST,
        committed_at=timezone.now(),
    )


def take_keys(tenant_id: int, events: Sequence[Placed]) -> set[UUID]:
    """Take the ids of these events for good; return the event ids of those that nobody had taken.

    Where another call is just taking one of them, this waits until it is known whether it did.
    """
    rows = [
        {
            "source": event.said.source,
            "external_id": event.said.external_id,
            "event_id": event.event_id,
            "occurred_at": event.occurred_at,
            "digest": f"\\x{event.digest.hex()}",
        }
        for event in events
    ]
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_KEYS, {"tenant": tenant_id, "events": msgspec.json.encode(rows).decode()})
        return {event_id for (event_id,) in cursor.fetchall()}


class Key(NamedTuple):
    """That an id was taken: by what, for which event of ours, and when that happened."""

    digest: bytes
    event_id: UUID
    occurred_at: datetime


def keys_of(tenant_id: int, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Key]:
    """Those of these names (source, id) that are taken."""
    if not names:
        return {}
    sources, ids = zip(*names, strict=True)
    given: dict[str, Any] = {"tenant": tenant_id, "sources": list(sources), "ids": list(ids)}
    with connection.cursor() as cursor:
        cursor.execute(_KEYS, given)
        return {
            (source, external_id): Key(bytes(digest), event_id, occurred_at)
            for source, external_id, digest, event_id, occurred_at in cursor.fetchall()
        }


def write(batch: Batch, events: Iterable[Placed]) -> None:
    """Write their rows."""
    with connection.cursor() as cursor, connection.wrap_database_errors:
        copying: AbstractContextManager[Copy] = cursor.copy(_COPY)
        with copying as copy:
            copy.set_types(_TYPES)
            for event in events:
                copy.write_row(_row(batch.pk, event))


def take_away(batch: Batch, events: Sequence[tuple[UUID, UUID, datetime]]) -> None:
    """Write a row of sign -1 for each: its own id, and id and time of the event that it takes away.

    In the order of the events, so that two calls that correct the same ones cannot lock each other out.
    """
    ids, taken, times = zip(*sorted(events, key=itemgetter(1)), strict=True)
    given: dict[str, Any] = {"batch": batch.pk, "ids": list(ids), "events": list(taken), "times": list(times)}
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_AWAY, given)


def _row(batch_id: int, event: Placed) -> tuple[Any, ...]:
    said = event.said
    return (
        event.event_id,
        event.occurred_at,
        batch_id,
        event.tenant_id,
        event.project_id,
        event.api_key_id,
        said.offering,
        said.deployment,
        said.streamed,
        said.outcome,
        UsageSource.REPORTED if said.usage.known else UsageSource.NONE,
        said.billed,
        *astuple(said.usage),
        said.duration_us,
        said.grade,
        said.service_tier,
        1,
        event.corrects,
        said.source,
        said.external_id,
    )
