"""What happens to a journal before a new writer uses it: the torn tail goes, and cut requests get their ending."""

import os
from dataclasses import dataclass
from pathlib import Path

from metering import records
from metering.records import BadFrame, Closed, Opened
from metering.segments import Segment, create_segment, segments, sync_folder


@dataclass(frozen=True)
class RecoveryReport:
    """What recovery found and did. `segment` is the fresh one, in which the writer goes on."""

    segment: Path
    last_sequence: int
    interrupted: int
    bytes_cut: int
    cut_kept_in: Path | None  # The bytes that were cut, kept for a person to look at.


@dataclass
class _Contents:
    """What a segment's whole frames say."""

    end: int
    last_sequence: int
    last_seen_us: int
    still_open: dict[bytes, Opened]


def recover(folder: Path) -> RecoveryReport:
    """Repair the newest segment and begin a fresh one. Only the lock's holder may call this.

    Opened records that are still open were carried into the newest segment, so older ones need not be read. Each
    open request is closed as interrupted at the head of the fresh segment, which appears at once or not at all:
    killed anywhere and repeated, recovery closes each exactly once.
    """
    found = segments(folder)
    if not found:
        segment, last = create_segment(folder, 1, ())
        return RecoveryReport(segment.path, last, 0, 0, None)
    contents = _read(found[-1])
    bytes_cut, cut_kept_in = _cut_tail(found[-1], contents.end)
    endings = [records.interrupted(opened, contents.last_seen_us) for opened in contents.still_open.values()]
    segment, last = create_segment(folder, contents.last_sequence + 1, map(records.encode, endings))
    return RecoveryReport(segment.path, last, len(endings), bytes_cut, cut_kept_in)


def _read(segment: Segment) -> _Contents:
    contents = _Contents(end=0, last_sequence=segment.first - 1, last_seen_us=0, still_open={})
    with segment.path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            for frame in records.read_frames(file, offset=0, end=size, first=segment.first):
                _note(contents, records.decode(frame.payload))
                contents.end = frame.end
                contents.last_sequence = frame.sequence
        except BadFrame:
            pass  # What stands from contents.end on is cut, kept and reported by the caller.
    return contents


def _note(contents: _Contents, record: records.Record) -> None:
    match record:
        case Opened(event_id=event_id, opened_at_us=at_us):
            contents.still_open[event_id] = record
        case Closed(opened=opened, closed_at_us=at_us):
            contents.still_open.pop(opened.event_id, None)
    contents.last_seen_us = max(contents.last_seen_us, at_us)


def _cut_tail(segment: Segment, end: int) -> tuple[int, Path | None]:
    """Cut the segment behind its last whole frame; the bytes are put aside first, durably."""
    with segment.path.open("r+b") as file:
        file.seek(end)
        tail = file.read()
        if not tail:
            return 0, None
        kept_in = segment.path.with_suffix(".cut")
        with kept_in.open("wb") as cut:
            cut.write(tail)
            cut.flush()
            os.fsync(cut.fileno())
        sync_folder(segment.path.parent)
        file.truncate(end)
        os.fsync(file.fileno())
    return len(tail), kept_in
