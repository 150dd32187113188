"""Amends and voids events: rows that point at the event they correct, whose own row is never changed.

A void is a row of sign -1 at the event's own time; an amendment is that and a row of sign 1 with what is right. An
event is corrected once, which a unique index sees to: what corrects it again corrects its amendment.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from metering import backfills, ingest_rows
from metering.ingest_errors import EventsConflict, EventsRefused, Raced
from metering.ingest_formats.reported import EPOCH, Refusal, microseconds
from metering.ingest_placing import Correction
from metering.ingest_rows import Placed, event_id_of
from metering.models import Batch
from metering.reporter import Reporter

# The bounds in time let one partition be read, and not all of them.
_EVENTS = """
    SELECT event.id, event.occurred_at, event.project_id, event.api_key_id, event.sign, event.source IS NULL,
           batch.held, batch.backfill_id, taken.id IS NOT NULL
    FROM unnest(%(ids)s::uuid[], %(from)s::timestamptz[], %(to)s::timestamptz[]) AS asked (id, earliest, latest)
    CROSS JOIN LATERAL (
        SELECT * FROM metering_event
        WHERE id = asked.id AND occurred_at >= asked.earliest AND occurred_at <= asked.latest LIMIT 1
    ) AS event
    JOIN metering_batch AS batch ON batch.id = event.batch_id
    LEFT JOIN LATERAL (
        SELECT id FROM metering_event
        WHERE corrects = event.id AND occurred_at = event.occurred_at AND sign = -1 LIMIT 1
    ) AS taken ON true
    WHERE event.tenant_id = %(tenant)s
"""
MILLISECOND = timedelta(microseconds=999)


@dataclass(frozen=True, slots=True)
class Target:
    """The event that is corrected, as it is stored."""

    id: UUID
    occurred_at: datetime
    project_id: int
    api_key_id: int
    sign: int
    from_gateway: bool
    held: bool
    backfill_id: int | None
    corrected: bool


def correct(reporter: Reporter, corrections: Sequence[Correction]) -> None:
    """Write these corrections, whose ids nobody has taken, within the caller's transaction.

    One may correct what another one of the same call says, in whatever order they come: those whose event is not
    there yet wait for the others. Raises EventsRefused, EventsConflict and Raced.
    """
    waiting = list(corrections)
    while waiting:
        targets = _targets(reporter, waiting)
        ready = [correction for correction in waiting if correction.index in targets]
        if not ready:
            raise EventsRefused([correction.refusal(_UNKNOWN) for correction in waiting])
        _refuse(reporter, ready, targets)
        _write(reporter, ready, targets)
        waiting = [correction for correction in waiting if correction.index not in targets]


_UNKNOWN = "There is no such event of this source, nor one of ours by this id; or its month is archived."


def _targets(reporter: Reporter, corrections: Sequence[Correction]) -> dict[int, Target]:
    """The event that each correction names, by the correction's index: by source and id, else by our own id."""
    names = [(correction.said.source, correction.said.corrects or "") for correction in corrections]
    keys = ingest_rows.keys_of(reporter.tenant_id, names)
    places: dict[tuple[str, str], Place] = {
        name: (key.event_id, key.occurred_at, key.occurred_at) for name, key in keys.items()
    }
    for name in names:
        if name not in places and (ours := _by_our_id(name[1])) is not None:
            places[name] = ours
    stored = _events(reporter.tenant_id, list(places.values()))
    return {
        correction.index: stored[places[name][0]]
        for correction, name in zip(corrections, names, strict=True)
        if name in places and places[name][0] in stored
    }


Place = tuple[UUID, datetime, datetime]
"""Our id of an event, and the first and last instant at which it can have happened."""


def _by_our_id(text: str) -> Place | None:
    """A UUIDv7 holds the millisecond of its event."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    if found.version != 7:
        return None
    start = EPOCH + timedelta(milliseconds=found.int >> 80)
    return found, start, start + MILLISECOND


def _events(tenant_id: int, places: Sequence[Place]) -> dict[UUID, Target]:
    given: dict[str, Any] = {
        "tenant": tenant_id,
        "ids": [place[0] for place in places],
        "from": [place[1] for place in places],
        "to": [place[2] for place in places],
    }
    with connection.cursor() as cursor:
        cursor.execute(_EVENTS, given)
        return {row[0]: Target(*row) for row in cursor.fetchall()}


def _refuse(reporter: Reporter, corrections: Sequence[Correction], targets: dict[int, Target]) -> None:
    """Raise EventsRefused and EventsConflict where one of these must not be."""
    refusals: list[Refusal] = []
    conflicts: list[Refusal] = []
    seen: set[UUID] = set()
    held_by = {targets[each.index].backfill_id for each in corrections}
    reverted = backfills.locked_unless_committed({pk for pk in held_by if pk is not None})
    for correction in corrections:
        target = targets[correction.index]
        if (reason := _unfit(reporter, correction, target)) is not None:
            refusals.append(correction.refusal(reason))
        elif target.corrected or target.id in seen or target.backfill_id in reverted:
            reason = "This event was amended, voided or reverted already. Correct its amendment, if it has one."
            conflicts.append(correction.refusal(reason))
        seen.add(target.id)
    if refusals:
        raise EventsRefused(refusals)
    if conflicts:
        _look_for_races(reporter, corrections)
        raise EventsConflict(conflicts)


def _look_for_races(reporter: Reporter, corrections: Sequence[Correction]) -> None:
    """Raise Raced where the same correction was stored by another call since this one looked: it is a repetition."""
    if ingest_rows.keys_of(reporter.tenant_id, [ingest_rows.name_of(each.said) for each in corrections]):
        raise Raced


def _unfit(reporter: Reporter, correction: Correction, target: Target) -> str | None:
    if target.sign < 0:
        return "This is a void, which cannot be corrected. Report the usage again, with an id of its own."
    if target.from_gateway and not reporter.is_staff:
        return "A gateway counted this event. Only the operator's staff may correct it."
    if target.held:
        return "An open backfill has this event. Revert that and send it again, or commit it first."
    at_us = correction.said.occurred_at_us
    if at_us is not None and at_us != microseconds(target.occurred_at):
        return "A correction has the time of what it corrects. Leave its time out."
    return None


def _write(reporter: Reporter, corrections: Sequence[Correction], targets: dict[int, Target]) -> None:
    placed = [_placed(reporter, correction, targets[correction.index]) for correction in corrections]
    if len(ingest_rows.take_keys(reporter.tenant_id, placed)) != len(placed):
        raise Raced
    amendments = [event for event in placed if event.said.voids is None]
    batch = ingest_rows.new_batch(Batch.Kind.CORRECTION, len(placed) + len(amendments))
    ingest_rows.take_away(batch, list(_taken_away(reporter, placed)))
    ingest_rows.write(batch, amendments)


def _placed(reporter: Reporter, correction: Correction, target: Target) -> Placed:
    """A correction where it belongs: at the time of its event, and in its project unless it says another."""
    said = correction.said
    elsewhere = (said.project is not None or said.api_key is not None) and correction.project_id is not None
    return Placed(
        index=correction.index,
        said=said,
        digest=correction.digest,
        event_id=event_id_of(reporter.tenant_id, 0, said, microseconds(target.occurred_at)),
        occurred_at=target.occurred_at,
        tenant_id=reporter.tenant_id,
        project_id=correction.project_id if elsewhere and correction.project_id is not None else target.project_id,
        api_key_id=correction.api_key_id if elsewhere else target.api_key_id,
        corrects=target.id,
    )


def _taken_away(reporter: Reporter, placed: Iterable[Placed]) -> Iterable[tuple[UUID, UUID, datetime]]:
    """The rows of sign -1. A void is known by its own; that of an amendment has an id besides the amendment's."""
    for event in placed:
        part = b"" if event.said.voids is not None else b"taken away"
        row_id = event_id_of(reporter.tenant_id, 0, event.said, microseconds(event.occurred_at), part)
        assert event.corrects is not None
        yield row_id, event.corrects, event.occurred_at
