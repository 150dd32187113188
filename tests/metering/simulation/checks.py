"""What must be true when a world has come to rest, and what must be true at any time."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import OperationalError

from metering import rollup
from metering.models import Batch, Bucket, Event
from metering.usage import REPORTED_UNITS, Outcome
from tests.metering.simulation import books
from tests.metering.simulation.actors import Request, State
from tests.metering.simulation.statements import limited_lock_wait
from tests.metering.simulation.world import World

BEGIN, END = datetime(2025, 8, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)


def at_rest(world: World) -> list[str]:
    """All that is wrong; empty is right."""
    events = _events()
    return [
        *_requests(world, events),
        *_strangers(world, events),
        *_batches(),
        *_buckets(),
        *books.at_rest(world.reporting),
    ]


def at_any_time(world: World) -> None:
    """What nobody may see even while things go wrong: a bill for what no client got, or twice, or less than was told.

    Nothing is seen while somebody who is paused makes a partition: all who read events then wait for that.
    """
    try:
        with limited_lock_wait():
            wrong = [*_wrong_bills(world), *books.at_any_time(world.reporting)]
    except OperationalError:
        return
    assert not wrong, wrong


def _wrong_bills(world: World) -> Iterator[str]:
    known = {UUID(bytes=request.opened.event_id): request for request in world.requests}
    for event_id, events in _events().items():
        billed = [event for event in events if event["billed"]]
        if len(events) > 1:
            yield f"{event_id} has {len(events)} events"
        if billed and (event_id not in known or not _may_be_billed(known[event_id], billed[0])):
            yield f"{event_id} is billed: {billed[0]}"


def lost_in_power_cuts(world: World) -> int:
    """Answered requests that are not billed because a power cut took what was not synced yet."""
    events = _events()
    return sum(
        1
        for request in world.requests
        if request.closed_at_risk and not any(_is_exact(request, event) for event in events[_id(request)])
    )


def _events() -> dict[UUID, list[dict[str, Any]]]:
    by_id: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    ours = Event.objects.filter(source=None)
    for event in ours.values("id", "outcome", "billed", "tenant_id", "occurred_at", *REPORTED_UNITS):
        by_id[event["id"]].append(event)
    return by_id


def _id(request: Request) -> UUID:
    return UUID(bytes=request.opened.event_id)


def _requests(world: World, events: dict[UUID, list[dict[str, Any]]]) -> Iterator[str]:
    for request in world.requests:
        found = events.get(_id(request), [])
        wrong = _wrong(request, found)
        if wrong:
            yield f"{wrong}: {request.state.name} {_id(request)} of {request.gateway.lane} has {found}"


def _wrong(request: Request, found: list[dict[str, Any]]) -> str | None:
    if len(found) > 1:
        return "doubled"
    if not found:
        may_be_none = request.state in (State.OPENING, State.REFUSED) or request.opened_at_risk
        return None if may_be_none else "lost"
    if request.state is State.REFUSED and not request.disk_failed and not request.opened_at_risk:
        return "refused, and there even so"
    if _is_exact(request, found[0]):
        may_be_exact = request.state in (State.CLOSING, State.ANSWERED) or request.disk_failed
        return None if may_be_exact else "not answered, and counted even so"
    if not _is_interrupted(found[0]):
        return "not what the client got"
    return "answered, and not counted" if request.state is State.ANSWERED and not request.closed_at_risk else None


def _is_exact(request: Request, event: dict[str, Any]) -> bool:
    closed = request.closed
    return closed is not None and (
        event["outcome"] == closed.outcome
        and event["billed"] == closed.billed
        and event["tenant_id"] == closed.opened.tenant_id
        and {unit: event[unit] for unit in REPORTED_UNITS if event[unit] is not None} == closed.usage.units()
    )


def _is_interrupted(event: dict[str, Any]) -> bool:
    counts = [event[unit] for unit in REPORTED_UNITS if event[unit] is not None]
    return event["outcome"] == Outcome.INTERRUPTED and not event["billed"] and not counts


def _may_be_billed(request: Request, event: dict[str, Any]) -> bool:
    ended = request.state in (State.CLOSING, State.ANSWERED)
    return (ended or (request.state is State.DENIED and request.disk_failed)) and _is_exact(request, event)


def _strangers(world: World, events: dict[UUID, list[dict[str, Any]]]) -> Iterator[str]:
    known = {_id(request) for request in world.requests}
    yield from (f"nobody asked for {event_id}" for event_id in events if event_id not in known)


def _batches() -> Iterator[str]:
    journals: dict[UUID | None, list[Batch]] = defaultdict(list)
    for batch in Batch.objects.filter(folded_at=None, held=False):
        yield f"{batch} is not folded"
    for batch in Batch.objects.filter(kind=Batch.Kind.JOURNAL).order_by("journal_id", "first"):
        journals[batch.journal_id].append(batch)
        if batch.duplicates:
            yield f"{batch} left out {batch.duplicates}"
    for batches in journals.values():
        opened = sum(batch.opened or 0 for batch in batches)
        closed = sum(batch.events + batch.duplicates for batch in batches)
        if opened != closed:
            yield f"{batches[0].journal_name}: {opened} opened and {closed} closed"
        after = 0
        for batch in batches:
            if batch.first != after + 1:
                yield f"{batch} does not follow {after}"
            after = batch.last or 0


def _buckets() -> Iterator[str]:
    yield from (f"bucket: {difference}" for difference in rollup.differences(BEGIN, END))
    by_events: dict[tuple[int, bool, str], int] = defaultdict(int)
    held = Batch.objects.filter(held=True).values("pk")
    for event in Event.objects.exclude(batch_id__in=held).values("tenant_id", "billed", "sign", *REPORTED_UNITS):
        for unit in REPORTED_UNITS:
            by_events[event["tenant_id"], event["billed"], unit] += event["sign"] * (event[unit] or 0)
        by_events[event["tenant_id"], event["billed"], "request"] += event["sign"]
    by_buckets: dict[tuple[int, bool, str], int] = defaultdict(int)
    for bucket in Bucket.objects.all():
        by_buckets[bucket.tenant_id, bucket.billed, bucket.unit] += bucket.quantity
    for key in sorted(by_events.keys() | by_buckets.keys()):
        if by_events[key] != by_buckets[key]:
            yield f"{key}: {by_events[key]} by events, {by_buckets[key]} by buckets"
