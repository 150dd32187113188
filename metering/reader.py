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

from metering.frame_blocks import Block, scan
from metering.records import FrameIncomplete, RecordUnreadable
from metering.segments import Segment, journal_id, segments

BLOCK_BYTES = 2**17  # Read at once: more than the largest frame, and little enough that Postgres never waits for long.
SEGMENTS_KEPT = 4  # The newest, shipped or not: a gateway that was killed works out from them what its leases came to.
ANEW = (
    "To go on without what is missing: move this segment and all older ones out of the folder, delete the file 'id'"
    " there and restart its gateway. What is left is then shipped anew, and nothing of it twice."
)


class JournalUnshippable(Exception):
    """A journal cannot be shipped. `kind` is that of the alert, and `segment` where a person has to look."""

    kind = "journal_unshippable"

    def __init__(self, segment: Path, message: str) -> None:
        self.segment = segment
        super().__init__(message)


class SegmentCorrupt(JournalUnshippable):
    """A segment that is no longer written has a damaged record."""

    kind = "journal_corrupt"


class RecordForeign(JournalUnshippable):
    """A whole record is not one that this version knows."""

    kind = "journal_record_foreign"


class RecordsMissing(JournalUnshippable):
    """Segments that were not shipped yet are gone."""

    kind = "journal_gap"


class JournalSetBack(JournalUnshippable):
    """The journal has other records than those that were shipped."""

    kind = "journal_set_back"


@dataclass(frozen=True)
class Shipped:
    """How far a journal was shipped: the sequence and the checksum of the last committed record."""

    sequence: int
    checksum: int


class Stretch(NamedTuple):
    """Records that follow each other in one segment, all of them on disk."""

    segment: Path
    first: int
    last: Shipped
    opened: int  # How many requests they open.
    endings: list[bytes]  # Payloads of the records that end one.
    size: int  # In bytes.

    @property
    def records(self) -> int:
        return self.last.sequence - self.first + 1


@dataclass(frozen=True)
class Place:
    """Where reading may go on: at byte `offset` of the segment beginning with `first`, behind record `shipped`."""

    first: int
    offset: int
    shipped: Shipped


class JournalReader:
    """Reads one journal's folder.

    It remembers where stretches of the last reading ended, so that a segment is not read from its start every time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: list[Place] = []

    def identity(self) -> uuid.UUID | None:
        """The journal's id, or None where no writer has opened it yet."""
        return journal_id(self.folder)

    def stretches(self, shipped: Shipped | None, records_max: int, *, one_by_one: bool = False) -> Iterator[Stretch]:
        """The records that follow `shipped`, at most `records_max`, across segments. Raises JournalUnshippable.

        None means that nothing was shipped: the oldest segment is the beginning. The newest segment is read up to its
        last whole record, for the rest is still being written. A stretch is what one block holds, or, `one_by_one`, a
        single record, so that all that stand before a bad one are had.
        """
        found = segments(self.folder)
        if not found:
            return
        index = 0 if shipped is None else self._segment_of(found, shipped)
        place = self._find(found[index], shipped)
        self._places = [place]
        for segment, newer in zip_longest(found[index:], found[index + 1 :]):
            for block in _blocks(segment, place, records_max, newest=newer is None, one_by_one=one_by_one):
                first = place.shipped.sequence + 1
                shipped = Shipped(place.shipped.sequence + block.records, block.last_checksum)
                place = Place(segment.first, place.offset + block.size, shipped)
                self._places.append(place)
                yield Stretch(segment.path, first, shipped, block.opened, block.endings, block.size)
                records_max -= block.records
            if not records_max:
                return
            if newer is not None:
                _check_joint(segment, newer, place.shipped.sequence)
                place = Place(newer.first, 0, place.shipped)

    def place_of(self, sequence: int) -> Place | None:
        """The place behind that record, where the last reading began there or one of its stretches ended there."""
        return next((place for place in self._places if place.shipped.sequence == sequence), None)

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

    def _segment_of(self, found: list[Segment], shipped: Shipped) -> int:
        """Which segment holds the record `shipped`; where it is deleted already, the one that goes on behind it."""
        index = bisect_right([segment.first for segment in found], shipped.sequence) - 1
        if index < 0 and found[0].first > shipped.sequence + 1:
            raise RecordsMissing(
                found[0].path,
                f"{found[0].path} begins with record {found[0].first}, though {shipped.sequence} were shipped. {ANEW}",
            )
        return max(index, 0)

    def _find(self, segment: Segment, shipped: Shipped | None) -> Place:
        """The place behind `shipped`; it is looked for from the segment's start where it is not remembered."""
        if shipped is None or shipped.sequence + 1 == segment.first:
            return Place(segment.first, 0, shipped or Shipped(segment.first - 1, 0))
        for place in self._places:
            if (place.first, place.shipped) == (segment.first, shipped) and place.offset <= segment.path.stat().st_size:
                return place
        place = Place(segment.first, 0, Shipped(segment.first - 1, 0))
        for block in _blocks(segment, place, shipped.sequence - segment.first + 1, newest=True):
            reached = Shipped(place.shipped.sequence + block.records, block.last_checksum)
            place = Place(segment.first, place.offset + block.size, reached)
        if place.shipped == shipped:
            return place
        raise JournalSetBack(
            segment.path,
            f"{segment.path} does not hold record {shipped.sequence} as it was shipped: it was restored or cut. {ANEW}",
        )


def _blocks(
    segment: Segment, place: Place, records_max: int, *, newest: bool, one_by_one: bool = False
) -> Iterator[Block]:
    """What follows `place`, made durable first: what is committed must not be lost by a power cut here."""
    offset, sequence = place.offset, place.shipped.sequence + 1
    with segment.path.open("rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        if end > offset:
            os.fdatasync(file.fileno())
        while offset < end and records_max:
            data = os.pread(file.fileno(), min(BLOCK_BYTES, end - offset), offset)
            block = _scan(segment, data, offset, sequence, 1 if one_by_one else records_max)
            if block.records:
                yield block
            offset, sequence, records_max = offset + block.size, sequence + block.records, records_max - block.records
            cut_by_us = block.records and len(data) == BLOCK_BYTES
            if block.problem is None or (cut_by_us and isinstance(block.problem, FrameIncomplete)):
                continue
            if newest and isinstance(block.problem, FrameIncomplete):
                return
            raise SegmentCorrupt(
                segment.path,
                f"{segment.path}: {block.problem}. Nothing behind it is shipped. Restore the file if you can. {ANEW}",
            )


def _scan(segment: Segment, data: bytes, offset: int, first: int, records_max: int) -> Block:
    """One block, or what stands before a record of another version in it."""
    try:
        return scan(data, offset=offset, first=first, records_max=records_max)
    except RecordUnreadable as problem:
        if records_max == 1:
            raise RecordForeign(segment.path, f"{segment.path}, record {first}: {problem}") from problem
        return _scan(segment, data, offset, first, 1)


def _check_joint(older: Segment, newer: Segment, last: int) -> None:
    if newer.first > last + 1:
        raise RecordsMissing(older.path, f"{older.path} ends with record {last}, but {newer.path.name} follows. {ANEW}")
    if newer.first <= last:
        raise JournalSetBack(
            older.path, f"{older.path} goes on to record {last}, although {newer.path.name} follows. {ANEW}"
        )
