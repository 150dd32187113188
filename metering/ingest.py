"""Takes usage that was counted elsewhere: all of a call or nothing, each event once for good.

An event is known by tenant, source and id. Whether it was taken before is decided by a unique constraint, so two calls
with the same events may come at once: one stores them, and the other finds them there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from metering import backfills, corrections, ingest_rows, partitions
from metering.fold_soon import fold_after_commit
from metering.ingest_errors import EventsConflict, Raced
from metering.ingest_formats.reported import Reading, Refusal
from metering.ingest_placing import Call, Correction, placed
from metering.ingest_rows import Placed
from metering.models import Backfill, Batch
from metering.reporter import Reporter

TRIES = 3

# What is known of ids that are taken: the digest, and the backfill that holds the event back, if one does.
_TAKEN = """
    SELECT source, external_id, taken.digest, held.backfill_id, held.name
    FROM unnest(%(sources)s::text[], %(ids)s::text[]) AS asked (source, external_id)
    JOIN metering_ingestedkey AS taken USING (source, external_id)
    LEFT JOIN LATERAL (
        SELECT backfill.id AS backfill_id, backfill.name
        FROM metering_event AS event
        JOIN metering_batch AS batch ON batch.id = event.batch_id AND batch.held
        JOIN metering_backfill AS backfill ON backfill.id = batch.backfill_id
        WHERE event.id = taken.event_id AND event.occurred_at = taken.occurred_at
    ) AS held ON true
    WHERE taken.tenant_id = %(tenant)s
"""


@dataclass(frozen=True)
class Receipt:
    """What became of a call. It is given after the commit."""

    accepted: int
    duplicates: int
    skipped: int


def ingest(reporter: Reporter, reading: Reading, *, now: datetime, backfill_name: str | None = None) -> Receipt:
    """Store the events of a call, or nothing of it.

    Under a backfill they are held back until that is committed. Raises EventsRefused, EventsConflict, UnknownBackfill
    and BackfillRefused.
    """
    backfill = None if backfill_name is None else backfills.named(reporter.tenant_id, backfill_name)
    call = placed(reporter, reading, now, backfill)
    for _ in range(TRIES - 1):
        try:
            return _stored(reporter, call, backfill)
        except (Raced, IntegrityError):  # Another call corrected the same event meanwhile; now it can be seen.
            continue
    return _stored(reporter, call, backfill)


def _stored(reporter: Reporter, call: Call, backfill: Backfill | None) -> Receipt:
    partitions.ensure(partitions.month_of(event.occurred_at) for event in call.events)
    return _store(reporter, call, backfill)


@transaction.atomic
def _store(reporter: Reporter, call: Call, backfill: Backfill | None) -> Receipt:
    if backfill is not None:
        backfills.hold_open(backfill)
    fresh = ingest_rows.take_keys(reporter.tenant_id, call.events)
    events = [event for event in call.events if event.event_id in fresh]
    corrections_due = _not_taken(reporter, call, fresh, backfill)
    duplicates = call.repeated + len(call.events) - len(events) + len(call.corrections) - len(corrections_due)
    if events:
        batch = ingest_rows.new_batch(Batch.Kind.INGEST, len(events), duplicates=duplicates, backfill=backfill)
        ingest_rows.write(batch, events)
        if backfill is not None:
            backfills.count(backfill, len(events))
    if corrections_due:
        corrections.correct(reporter, corrections_due)
    if events or corrections_due:
        fold_after_commit()
    return Receipt(len(events) + len(corrections_due), duplicates, call.skipped)


def _not_taken(reporter: Reporter, call: Call, fresh: set[UUID], backfill: Backfill | None) -> list[Correction]:
    """The corrections whose ids nobody had taken. Raises EventsConflict where an id was taken by another event."""
    asked = [event for event in call.events if event.event_id not in fresh] + call.corrections
    taken = _taken(reporter, asked) if asked else {}
    conflicts = []
    for event in asked:
        digest, holder, name = taken.get((event.said.source, event.said.external_id), (event.digest, None, ""))
        if digest != event.digest:
            reason = "This id was taken by an event that says something else. Amend that one, or take another id."
        elif holder is not None and (backfill is None or holder != backfill.pk):
            reason = f"The open backfill {name} has this event, and may yet be reverted. Commit or revert it first."
        else:
            continue
        conflicts.append(Refusal(event.index, event.said.external_id, "id", reason))
    if conflicts:
        raise EventsConflict(conflicts)
    return [event for event in call.corrections if (event.said.source, event.said.external_id) not in taken]


def _taken(
    reporter: Reporter, events: Sequence[Placed | Correction]
) -> dict[tuple[str, str], tuple[bytes, int | None, str]]:
    given: dict[str, Any] = {
        "tenant": reporter.tenant_id,
        "sources": [event.said.source for event in events],
        "ids": [event.said.external_id for event in events],
    }
    with connection.cursor() as cursor:
        cursor.execute(_TAKEN, given)
        return {
            (source, external_id): (bytes(digest), holder, name)
            for source, external_id, digest, holder, name in cursor.fetchall()
        }
