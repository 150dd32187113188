"""Takes usage that was counted elsewhere: all of a call or nothing, each event once for good.

An event is known by tenant, source and id. Whether it was taken before is decided by a unique constraint, so two calls
with the same events may come at once: one stores them, and the other finds them there.
"""

from collections.abc import Collection
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
from metering.ingest_rows import Key, keys_of, name_of
from metering.models import Backfill, Batch
from metering.reporter import Reporter

TRIES = 3

# Which of these events a backfill holds back.
_HELD = """
    SELECT event.id, backfill.name
    FROM unnest(%(ids)s::uuid[], %(times)s::timestamptz[]) AS asked (id, occurred_at)
    CROSS JOIN LATERAL (
        SELECT id, batch_id FROM metering_event WHERE id = asked.id AND occurred_at = asked.occurred_at LIMIT 1
    ) AS event
    JOIN metering_batch AS batch ON batch.id = event.batch_id AND batch.held
    JOIN metering_backfill AS backfill ON backfill.id = batch.backfill_id
    WHERE backfill.id = ANY(%(backfills)s::bigint[])
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
    taken = keys_of(reporter.tenant_id, [name_of(event.said) for event in asked])
    held = _held(reporter, taken.values(), backfill)
    conflicts = []
    for event in asked:
        found = taken.get(name_of(event.said))
        if found is None:
            continue
        if found.digest != event.digest:
            reason = "This id was taken by an event that says something else. Amend that one, or take another id."
        elif found.event_id in held:
            name = held[found.event_id]
            reason = f"The open backfill {name} has this event, and may yet be reverted. Commit or revert it first."
        else:
            continue
        conflicts.append(Refusal(event.index, event.said.external_id, "id", reason))
    if conflicts:
        raise EventsConflict(conflicts)
    return [event for event in call.corrections if name_of(event.said) not in taken]


def _held(reporter: Reporter, taken: Collection[Key], backfill: Backfill | None) -> dict[UUID, str]:
    """The events that another backfill holds, with its name; what the call's own backfill has is a repetition."""
    others = Backfill.objects.filter(tenant_id=reporter.tenant_id, state=Backfill.State.OPEN)
    if backfill is not None:
        others = others.exclude(pk=backfill.pk)
    open_ones = list(others.values_list("pk", flat=True)) if taken else []
    if not open_ones:
        return {}
    given: dict[str, Any] = {
        "ids": [found.event_id for found in taken],
        "times": [found.occurred_at for found in taken],
        "backfills": open_ones,
    }
    with connection.cursor() as cursor:
        cursor.execute(_HELD, given)
        return dict(cursor.fetchall())
