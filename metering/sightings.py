"""What a shipper can say of a journal's folder: how much waits in it, since when, and which requests are open in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from metering import records
from metering.draft import Draft
from metering.reader import JournalReader, Place, Shipped
from metering.records import BadFrame, Carried, Closed, Opened, Record, RecordUnreadable
from metering.segments import Segment, segments

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COUNTED_BYTES_MAX = 2**20  # Of a segment that are read once more to count what is open: 17 ms of CPU, once a minute.


@dataclass(frozen=True)
class Sighting:
    """What was seen of a journal.

    `unshipped_since` is when the oldest record behind the last committed one was written; None where no request has
    ended since, for records of what is open wait for an ending and are not late.
    """

    last_shipped: int
    unshipped_bytes: int
    unshipped_since: datetime | None
    segments: int
    problem: str


def look(reader: JournalReader, draft: Draft, committed: bool, *, since: datetime | None, now: datetime) -> Sighting:
    """After a round that made this draft. `since` is what was seen last, for a record whose time cannot be read."""
    found = segments(reader.folder)
    shipped = draft.last if committed and draft.last is not None else draft.shipped
    last = shipped.sequence if shipped else 0
    place = reader.place_of(last) or _first_place(found, last)
    behind = [segment for segment in found if segment.first >= place.first]
    if not committed and draft.problem is None:
        waits_since = None
    else:
        waits_since = _oldest(behind, place) or ((since or now) if draft.problem else None)
    return Sighting(
        last_shipped=last,
        unshipped_bytes=max(0, sum(segment.path.stat().st_size for segment in behind) - place.offset),
        unshipped_since=waits_since,
        segments=len(found),
        problem=str(draft.problem or ""),
    )


def _first_place(found: list[Segment], last: int) -> Place:
    """Where the place is not known, all of the segment that holds it counts as waiting."""
    firsts = [segment.first for segment in found]
    first = max((each for each in firsts if each <= last + 1), default=min(firsts, default=1))
    return Place(first, 0, Shipped(first - 1, 0))


def _oldest(behind: list[Segment], place: Place) -> datetime | None:
    """When the first record behind the place was written; None where there is none, or none that can be read."""
    for segment in behind:
        at_place = segment.first == place.first
        offset, first = (place.offset, place.shipped.sequence + 1) if at_place else (0, segment.first)
        for record in _records(segment, offset, first, segment.path.stat().st_size):
            if isinstance(record, Opened):
                return EPOCH + timedelta(microseconds=record.opened_at_us)
            if isinstance(record, Closed):
                return EPOCH + timedelta(microseconds=record.closed_at_us)
    return None


def _records(segment: Segment, offset: int, first: int, end: int) -> Iterator[Record]:
    """Until the end, or what cannot be read: the shipper has said so already."""
    with segment.path.open("rb") as file:
        try:
            for frame in records.read_frames(file, offset=offset, end=end, first=first):
                yield records.decode(frame.payload)
        except (BadFrame, RecordUnreadable):
            return


def still_open(reader: JournalReader, last: int) -> int | None:
    """How many requests are open behind record `last`; None where its place is not known or would take too long.

    A segment begins with all that is open there, so its beginning up to the record is enough. What recovery closes
    at a segment's head is open nowhere else.
    """
    place = reader.place_of(last)
    if place is None or place.offset > COUNTED_BYTES_MAX:
        return None
    found = [segment for segment in segments(reader.folder) if segment.first == place.first]
    open_ids: set[bytes] = set()
    for segment in found:
        for record in _records(segment, 0, segment.first, place.offset):
            if isinstance(record, Carried):
                open_ids.update(opened.event_id for opened in record.opened)
            elif isinstance(record, Opened):
                open_ids.add(record.event_id)
            else:
                open_ids.discard(record.opened.event_id)
    return len(open_ids) if found else None
