"""Reads a journal for the shipper, while its writer goes on writing it.

JournalUnshippable        nothing of this journal is shipped until a person has looked at it
├── SegmentCorrupt        a segment that is no longer written has a damaged record
├── RecordForeign         a whole record is not one that this version knows
├── RecordsMissing        segments that were not shipped yet are gone
└── JournalSetBack        the journal has other records than those that were shipped
"""

import os
import uuid
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import NamedTuple

from metering import records
from metering.records import BadFrame, Frame, FrameIncomplete, Record, RecordUnreadable
from metering.segments import Segment, journal_id, segments

BATCH_BYTES_MAX = 64 * 2**20
SEGMENTS_KEPT = 4  # The newest, shipped or not: a gateway that was killed works out from them what its leases came to.
ANEW = (
    "To go on without what is missing: move this segment and all older ones out of the folder, delete the file 'id'"
    " there and restart its gateway. What is left is then shipped anew, and nothing of it twice."
)


class JournalUnshippable(Exception):
    """A journal cannot be shipped."""


class SegmentCorrupt(JournalUnshippable):
    """A segment that is no longer written has a damaged record."""


class RecordForeign(JournalUnshippable):
    """A whole record is not one that this version knows."""


class RecordsMissing(JournalUnshippable):
    """Segments that were not shipped yet are gone."""


class JournalSetBack(JournalUnshippable):
    """The journal has other records than those that were shipped."""


@dataclass(frozen=True)
class Shipped:
    """How far a journal was shipped: the sequence and the checksum of the last committed record."""

    sequence: int
    checksum: int


class Entry(NamedTuple):
    """A record and where it stands."""

    shipped: Shipped
    record: Record


@dataclass(frozen=True)
class Reading:
    """Whole records in sequence, and what stands in the way behind them, if anything does."""

    entries: list[Entry]
    full: bool  # A limit ended the reading: more may follow.
    problem: JournalUnshippable | None


@dataclass(frozen=True)
class _Place:
    """Where reading may go on: at byte `offset` of the segment beginning with `first`, behind record `shipped`."""

    first: int
    offset: int
    shipped: Shipped


class JournalReader:
    """Reads one journal's folder.

    It remembers where the last reading began and ended, so that a segment is not read from its start every time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: tuple[_Place, ...] = ()

    def identity(self) -> uuid.UUID | None:
        """The journal's id, or None where no writer has opened it yet."""
        return journal_id(self.folder)

    def read_after(self, shipped: Shipped | None, records_max: int) -> Reading:
        """At most `records_max` records that follow `shipped`, across segments; all of them are on disk.

        None means that nothing was shipped: the oldest segment is the beginning. The newest segment is read up to its
        last whole record, for the rest is still being written.
        """
        entries: list[Entry] = []
        try:
            full = self._collect(entries, shipped, records_max)
        except JournalUnshippable as problem:
            return Reading(entries, full=False, problem=problem)
        return Reading(entries, full, None)

    def delete_shipped(self, shipped: Shipped) -> list[Path]:
        """Delete the segments that were shipped to their end; never the newest SEGMENTS_KEPT.

        The writer and recovery need the last one, and gateway/admission/recovery.py those of its lives before.

        Only after a reading behind `shipped` without a problem: a journal that was set back holds other records.
        """
        found = segments(self.folder)
        olds = list(pairwise(found))[: -(SEGMENTS_KEPT - 1)]
        done = [older.path for older, newer in olds if newer.first <= shipped.sequence + 1]
        for path in done:
            path.unlink(missing_ok=True)  # Another shipper may have been quicker.
        return done

    def _collect(self, entries: list[Entry], shipped: Shipped | None, records_max: int) -> bool:
        """Append what is read to `entries`, which holds it also when this raises; return whether a limit was met."""
        found = segments(self.folder)
        if not found:
            return False
        index = 0 if shipped is None else self._segment_of(found, shipped)
        place = self._find(found[index], shipped)
        bytes_read = 0
        self._places = (place,)
        for segment, newer in zip_longest(found[index:], found[index + 1 :]):
            for frame in _frames(segment, place, newest=newer is None):
                entry = Entry(Shipped(frame.sequence, frame.checksum), _decode(segment, frame))
                entries.append(entry)
                bytes_read += len(frame.payload)
                place = _Place(segment.first, frame.end, entry.shipped)
                self._places = (self._places[0], place)
                if len(entries) == records_max or bytes_read >= BATCH_BYTES_MAX:
                    return True
            if newer is not None:
                _check_joint(segment, newer, place.shipped.sequence)
                place = _Place(newer.first, 0, place.shipped)
        return False

    def _segment_of(self, found: list[Segment], shipped: Shipped) -> int:
        """Which segment holds the record `shipped`; where it is deleted already, the one that goes on behind it."""
        index = bisect_right([segment.first for segment in found], shipped.sequence) - 1
        if index < 0 and found[0].first > shipped.sequence + 1:
            raise RecordsMissing(
                f"{self.folder} begins with record {found[0].first}, but only {shipped.sequence} were shipped. {ANEW}"
            )
        return max(index, 0)

    def _find(self, segment: Segment, shipped: Shipped | None) -> _Place:
        """The place behind `shipped`; it is looked for from the segment's start where it is not remembered."""
        if shipped is None or shipped.sequence + 1 == segment.first:
            return _Place(segment.first, 0, shipped or Shipped(segment.first - 1, 0))
        for place in self._places:
            if (place.first, place.shipped) == (segment.first, shipped) and place.offset <= segment.path.stat().st_size:
                return place
        start = _Place(segment.first, 0, Shipped(segment.first - 1, 0))
        for frame in _frames(segment, start, newest=True):
            if frame.sequence == shipped.sequence and frame.checksum == shipped.checksum:
                return _Place(segment.first, frame.end, shipped)
        raise JournalSetBack(
            f"{segment.path} does not hold record {shipped.sequence} as it was shipped: it was restored or cut. {ANEW}"
        )


def _frames(segment: Segment, place: _Place, *, newest: bool) -> Iterator[Frame]:
    """The frames behind `place`, made durable first: what is committed must not be lost by a power cut here."""
    with segment.path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        if end <= place.offset:
            return
        os.fdatasync(file.fileno())
        try:
            yield from records.read_frames(file, offset=place.offset, end=end, first=place.shipped.sequence + 1)
        except BadFrame as problem:
            if newest and isinstance(problem, FrameIncomplete):
                return
            raise SegmentCorrupt(
                f"{segment.path}: {problem}. Nothing behind it is shipped. Restore the file if you can. {ANEW}"
            ) from problem


def _decode(segment: Segment, frame: Frame) -> Record:
    try:
        return records.decode(frame.payload)
    except RecordUnreadable as problem:
        raise RecordForeign(f"{segment.path}, record {frame.sequence}: {problem}") from problem


def _check_joint(older: Segment, newer: Segment, last: int) -> None:
    if newer.first > last + 1:
        raise RecordsMissing(f"{older.path} ends with record {last}, but {newer.path.name} follows. {ANEW}")
    if newer.first <= last:
        raise JournalSetBack(f"{older.path} goes on to record {last}, although {newer.path.name} follows. {ANEW}")
