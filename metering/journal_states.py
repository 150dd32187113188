"""What shippers see of their journals, and the alert where one is late: the only writer of journal states.

A state is for people and for Prometheus. Nothing is shipped, folded or billed by it, and losing one loses nothing.
"""

import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from metering import alerts, sightings
from metering.draft import Draft
from metering.models import Batch, JournalState
from metering.reader import JournalReader
from metering.sightings import Sighting

log = logging.getLogger(__name__)

LATE = "shipping_late"
WRITE_AFTER = timedelta(seconds=1)  # Rounds are shorter, and nobody looks more often.
COUNT_AFTER = timedelta(minutes=1)  # Requests that are still open are counted so often.
HEARTBEAT = timedelta(seconds=15)  # A state that stays the same is written so often, to say that somebody looks.
PROBLEM_CHARACTERS_MAX = 2_000

_WRITE = """
    INSERT INTO metering_journalstate AS state
        (journal_id, name, node, last_shipped, unshipped_bytes, unshipped_since, segments, still_open, counted_to,
         problem, events, duplicates, seen_at)
    VALUES (%(journal_id)s, %(name)s, %(node)s, %(last_shipped)s, %(unshipped_bytes)s, %(unshipped_since)s,
            %(segments)s, %(still_open)s, %(counted_to)s, %(problem)s, %(events)s, %(duplicates)s, %(now)s)
    ON CONFLICT (journal_id) DO UPDATE
    SET name = excluded.name, node = excluded.node, last_shipped = excluded.last_shipped,
        unshipped_bytes = excluded.unshipped_bytes, unshipped_since = excluded.unshipped_since,
        segments = excluded.segments, problem = excluded.problem, seen_at = excluded.seen_at,
        still_open = coalesce(excluded.still_open, state.still_open),
        counted_to = coalesce(excluded.counted_to, state.counted_to),
        events = state.events + excluded.events, duplicates = state.duplicates + excluded.duplicates
"""


class JournalWatch:
    """Looks at journals on behalf of one shipper, each at most every WRITE_AFTER, and writes news and heartbeats."""

    def __init__(self, clock: Callable[[], datetime] = timezone.now) -> None:
        self._clock = clock
        self._node = socket.gethostname()
        self._eyes: dict[UUID, _Eye] = {}

    def __call__(self, identity: UUID, reader: JournalReader, draft: Draft, batch: Batch | None) -> None:
        """A round is over for a journal: it made this draft, and committed this batch of it, if any."""
        now, eye = self._clock(), self._eyes.setdefault(identity, _Eye())
        if batch is not None:
            eye.events += batch.events
            eye.duplicates += batch.duplicates
        if eye.looked_at is None or now - eye.looked_at >= WRITE_AFTER:
            eye.looked_at = now
            try:
                self._look(identity, reader, draft, batch, eye)
            except (OperationalError, InterfaceError):
                raise
            except Exception:  # Whatever it is, it must not keep a journal from being shipped.
                log.exception("The state of journal %s was not written.", reader.folder)

    def _look(self, identity: UUID, reader: JournalReader, draft: Draft, batch: Batch | None, eye: "_Eye") -> None:
        now = self._clock()
        seen = sightings.look(reader, draft, batch is not None, since=eye.since, now=now)
        eye.since = seen.unshipped_since
        is_news = seen != eye.written or eye.events or eye.duplicates
        if not is_news and eye.written_at is not None and now - eye.written_at < HEARTBEAT:
            return
        still_open = self._still_open(reader, seen, eye, now)
        given = {**vars(seen), "journal_id": identity, "name": reader.folder.name, "node": self._node, "now": now}
        given |= {"events": eye.events, "duplicates": eye.duplicates, "still_open": still_open}
        given["counted_to"] = None if still_open is None else seen.last_shipped
        given["problem"] = seen.problem[:PROBLEM_CHARACTERS_MAX].replace("\x00", "")
        with connection.cursor() as cursor:
            cursor.execute(_WRITE, given)
        eye.written, eye.written_at, eye.events, eye.duplicates = seen, now, 0, 0

    def _still_open(self, reader: JournalReader, seen: Sighting, eye: "_Eye", now: datetime) -> int | None:
        """Counted now and then, for it reads records once more; None where it is not the time or would be too much."""
        if seen.problem or (eye.counted_at is not None and now - eye.counted_at < COUNT_AFTER):
            return None
        counted = sightings.still_open(reader, seen.last_shipped)
        if counted is not None:
            eye.counted_at = now
        return counted


@dataclass
class _Eye:
    """What a watch remembers of a journal. `events` and `duplicates` are those that are in no written state yet."""

    events: int = 0
    duplicates: int = 0
    since: datetime | None = None
    written: Sighting | None = None
    looked_at: datetime | None = None
    written_at: datetime | None = None
    counted_at: datetime | None = None


def check_late(now: datetime | None = None) -> None:
    """Alert for each journal that nobody ships, or whose oldest record has waited for too long; close what is over."""
    for state in JournalState.objects.all():
        reasons = list(_reasons(state, _late_before(now)))
        if reasons:
            alerts.raise_alert(
                LATE,
                subject(state.name, state.journal_id),
                f"{' '.join(reasons)} Its requests are not billed until they are shipped; nothing is lost while its"
                " folder is there. If it is gone for good, forget it on the page of journals.",
                node=state.node,
                seen_at=state.seen_at.isoformat(),
                unshipped_bytes=state.unshipped_bytes,
            )
        else:
            alerts.resolve(LATE, subject(state.name, state.journal_id))


def is_late(state: JournalState, now: datetime | None = None) -> bool:
    return any(_reasons(state, _late_before(now)))


def _late_before(now: datetime | None) -> datetime:
    return (now or timezone.now()) - timedelta(minutes=settings.TOKENWORKS_SHIPPING_LATE_MINUTES)


def _reasons(state: JournalState, before: datetime) -> Iterator[str]:
    if state.seen_at < before:
        yield f"The shipper on {state.node} was last heard of it at {state.seen_at:%Y-%m-%d %H:%M:%S} UTC: start it."
    if state.unshipped_since is not None and state.unshipped_since < before:
        yield (
            f"Its oldest record that is not shipped is of {state.unshipped_since:%Y-%m-%d %H:%M:%S} UTC"
            f" ({state.unshipped_bytes:,} bytes wait)."
        )
        if state.problem:
            yield state.problem


def subject(name: str, journal_id: UUID) -> str:
    """The journal's name with the beginning of its id: two nodes may have journals of one name."""
    return f"{name} ({str(journal_id)[:8]})"


def forget(state: JournalState) -> None:
    """Take a journal off the page, and its alert; should it turn up again, so does its state."""
    with transaction.atomic():
        alerts.resolve(LATE, subject(state.name, state.journal_id))
        state.delete()
