"""Backfills: usage of the past that is held back until it is whole, becomes counted at once, and can be taken back.

    open -> committed -> reverted
    open -> reverted

A change of state is one UPDATE that names the state it starts from. It also is the lock: calls that add to a backfill,
or correct its events, hold its row, so that nothing is added to one that is being committed or reverted.
"""

from collections.abc import Collection

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from metering.fold_soon import fold_after_commit
from metering.ingest_errors import BackfillRefused, TooManyBackfills, UnknownBackfill
from metering.ingest_rows import TAKE_AWAY, new_batch
from metering.models import Backfill, Batch, Event

EVENTS_MAX = 10_000_000  # What one transaction takes back in minutes.

# What a backfill counted and is counted still: its events, or the amendments that stand for them now. Corrections hold
# the backfill's row while they are written, so what is read here is whole.
_COUNTED = """
    WITH RECURSIVE counted (id, occurred_at, taken) AS (
        SELECT event.id, event.occurred_at, taken.id IS NOT NULL
        FROM metering_event AS event
        LEFT JOIN LATERAL ({taken_away}) AS taken ON true
        WHERE event.batch_id IN (SELECT id FROM metering_batch WHERE backfill_id = %(backfill)s)
        UNION ALL
        SELECT event.id, event.occurred_at, taken.id IS NOT NULL
        FROM counted
        CROSS JOIN LATERAL (
            SELECT id, occurred_at FROM metering_event
            WHERE tenant_id = %(tenant)s AND occurred_at = counted.occurred_at AND corrects = counted.id AND sign = 1
            LIMIT 1
        ) AS event
        LEFT JOIN LATERAL ({taken_away}) AS taken ON true
        WHERE counted.taken
    )
    SELECT id AS event_id, occurred_at, {new_id} AS id FROM counted WHERE NOT taken
"""
_TAKEN_AWAY = """
    SELECT id FROM metering_event WHERE corrects = event.id AND occurred_at = event.occurred_at AND sign = -1 LIMIT 1
"""
# A UUIDv7 with the time of the event's own id, and random bits of its own.
_NEW_ID = """
    encode(overlay(set_byte(uuid_send(gen_random_uuid()), 6, 112 | (get_byte(uuid_send(gen_random_uuid()), 6) & 15))
                   PLACING substring(uuid_send(id) FROM 1 FOR 6) FROM 1 FOR 6), 'hex')::uuid
"""
_REVERT = TAKE_AWAY.format(taken=f"({_COUNTED.format(new_id=_NEW_ID, taken_away=_TAKEN_AWAY)}) AS taken")
# The ids of what was taken back are free again: somebody reverts a backfill to send it as it should have been.
_FREE_KEYS = """
    DELETE FROM metering_ingestedkey AS taken
    USING metering_event AS event
    WHERE event.batch_id IN (SELECT id FROM metering_batch WHERE backfill_id = %(backfill)s AND kind = 'ingest')
      AND taken.tenant_id = event.tenant_id AND taken.source = event.source AND taken.external_id = event.external_id
      AND taken.event_id = event.id
"""


def create(tenant_id: int, name: str) -> Backfill:
    """Open a backfill. Raises BackfillRefused where the name is taken, and TooManyBackfills."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"metering.backfills.{tenant_id}"])
        if Backfill.objects.filter(tenant_id=tenant_id, name=name).exists():
            raise BackfillRefused(f"The name {name} is taken. Each backfill has one of its own, for good.")
        if Backfill.objects.filter(tenant_id=tenant_id, state=Backfill.State.OPEN).count() >= _open_max():
            raise TooManyBackfills
        return Backfill.objects.create(tenant_id=tenant_id, name=name, created_at=timezone.now())


def _open_max() -> int:
    return int(settings.TOKENWORKS_BACKFILLS_OPEN_MAX)


def named(tenant_id: int, name: str) -> Backfill:
    """The tenant's backfill of this name. Raises UnknownBackfill."""
    found = Backfill.objects.filter(tenant_id=tenant_id, name=name).first()
    if found is None:
        raise UnknownBackfill
    return found


def hold_open(backfill: Backfill) -> None:
    """Keep the backfill open until the caller's transaction ends. Raises BackfillRefused where it is not."""
    held = Backfill.objects.select_for_update().get(pk=backfill.pk)
    if held.state != Backfill.State.OPEN:
        raise BackfillRefused(f"The backfill {held.name} is {held.state}. Create another one.")


def count(backfill: Backfill, events: int) -> None:
    """Count events that were added. Raises BackfillRefused where they are more than one backfill may have."""
    room = Backfill.objects.filter(pk=backfill.pk, events__lte=EVENTS_MAX - events)
    if not room.update(events=F("events") + events):
        raise BackfillRefused(f"A backfill has at most {EVENTS_MAX:,} events. Commit this one and create another.")


def locked_unless_committed(backfill_ids: Collection[int]) -> set[int]:
    """Keep these backfills as they are until the caller's transaction ends; return those that are not committed."""
    if not backfill_ids:
        return set()
    with connection.cursor() as cursor:  # FOR SHARE, which Django does not have: corrections need not wait in line.
        cursor.execute(
            "SELECT id, state FROM metering_backfill WHERE id = ANY(%s) ORDER BY id FOR SHARE", [list(backfill_ids)]
        )
        return {pk for pk, state in cursor.fetchall() if state != Backfill.State.COMMITTED}


@transaction.atomic
def commit(backfill: Backfill) -> Backfill:
    """Let all its events count at once. To commit it again does nothing. Raises BackfillRefused."""
    opened = Backfill.objects.filter(pk=backfill.pk, state=Backfill.State.OPEN)
    if opened.update(state=Backfill.State.COMMITTED, committed_at=timezone.now()):
        Batch.objects.filter(backfill=backfill).update(held=False)
        fold_after_commit()
    backfill.refresh_from_db()
    if backfill.state != Backfill.State.COMMITTED:
        raise BackfillRefused(f"The backfill {backfill.name} is {backfill.state} and cannot be committed.")
    return backfill


@transaction.atomic
def revert(backfill: Backfill) -> Backfill:
    """Take all of it back, amendments of its events included. To revert it again does nothing.

    Of an open one the events go, which never counted: kept, they would hold up the archive of their months for ever.
    Of a committed one each event that still counts gets a row of sign -1, which is folded like any other, and
    reaches an invoice as a correction. Raises BackfillRefused where some of them are in the archive only.
    """
    now = timezone.now()
    states = Backfill.objects.filter(pk=backfill.pk)
    if states.filter(state=Backfill.State.OPEN).update(state=Backfill.State.REVERTED, reverted_at=now):
        _free_keys(backfill)
        _drop_held(backfill)
    elif states.filter(state=Backfill.State.COMMITTED).update(state=Backfill.State.REVERTED, reverted_at=now):
        _refuse_archived(backfill)
        _take_back(backfill)
        _free_keys(backfill)
        fold_after_commit()
    backfill.refresh_from_db()
    return backfill


def _refuse_archived(backfill: Backfill) -> None:
    """What is not here cannot be taken back, and a part of it taken back is neither what was nor what should be."""
    batches = Batch.objects.filter(backfill=backfill)
    written = sum(batches.values_list("events", flat=True))
    if Event.objects.filter(batch_id__in=batches.values("pk")).count() < written:
        raise BackfillRefused(f"Months of the backfill {backfill.name} are archived, so it cannot be reverted.")


def _take_back(backfill: Backfill) -> None:
    batch = new_batch(Batch.Kind.CORRECTION, 0, backfill=backfill)
    with connection.cursor() as cursor:
        cursor.execute(_REVERT, {"backfill": backfill.pk, "tenant": backfill.tenant_id, "batch": batch.pk})
        batch.events = cursor.rowcount
    batch.save(update_fields=["events"])


def _drop_held(backfill: Backfill) -> None:
    batches = Batch.objects.filter(backfill=backfill, held=True)
    Event.objects.filter(batch_id__in=list(batches.values_list("pk", flat=True))).delete()
    batches.update(events=0, held=False, folded_at=timezone.now())


def _free_keys(backfill: Backfill) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_FREE_KEYS, {"backfill": backfill.pk})
