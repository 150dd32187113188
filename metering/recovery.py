"""What happens to a journal before a new writer uses it: the torn tail goes, and cut requests get their ending."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from metering import records
from metering.records import BadFrame, Carried, Closed, Opened
from metering.segments import NEXT, Segment, create_segment, number_next, segments, sync_folder


@dataclass(frozen=True)
class RecoveryReport:
    """What recovery found and did. `segment` is the fresh one, in which the writer goes on."""

    segment: Path
    last_sequence: int
    interrupted: int
    bytes_cut: int
    cut_kept_in: tuple[Path, ...] = ()  # The bytes that were cut, kept for a person to look at.


@dataclass
class _Contents:
    """What a segment's whole frames say."""

    last_sequence: int
    bytes_total: int = 0
    end: int = 0  # Of the last whole frame; what stands behind it, up to bytes_total, is torn.
    last_seen_us: int = 0
    still_open: dict[bytes, Opened] = field(default_factory=dict)
    carried: set[bytes] = field(default_factory=set)


def recover(folder: Path) -> RecoveryReport:
    """Repair the newest segment and begin a fresh one. Only the lock's holder may call this.

    Records that are still open were carried into the newest segment, so older ones need not be read. Each open
    request is closed as interrupted at the head of the fresh segment, which appears at once or not at all: killed
    anywhere and repeated, recovery closes each exactly once.
    """
    found = segments(folder)
    newest = found[-1] if found else None
    set_aside, kept = _settle_next(folder, newest)
    if newest is None:
        segment, last = create_segment(folder, 1, ())
        return RecoveryReport(segment.path, last, 0, set_aside, kept)
    newest = segments(folder)[-1]
    contents = _read(newest)
    cut, cut_kept_in = _cut_tail(newest, contents.end)
    endings = [records.interrupted(opened, contents.last_seen_us) for opened in contents.still_open.values()]
    segment, last = create_segment(folder, contents.last_sequence + 1, map(records.encode, endings))
    return RecoveryReport(segment.path, last, len(endings), set_aside + cut, (*kept, *cut_kept_in))


def _settle_next(folder: Path, newest: Segment | None) -> tuple[int, tuple[Path, ...]]:
    """Number NEXT if it goes on where the newest segment ends; else put it aside, and return its bytes and where.

    It goes on if nothing is missing between them and it carries all that was open there. Otherwise a power cut took
    what was not synced yet, in whichever order, or the writer was killed before anything else was in it. Either way
    it is gone before a fresh segment takes its number.
    """
    path = folder / NEXT
    if not path.exists():
        return 0, ()
    size = path.stat().st_size
    if not size:
        path.unlink()
        sync_folder(folder)
        return 0, ()
    if newest is not None and _continues(newest, path):
        return 0, ()
    kept = folder / f"{newest.first if newest else 0:020d}.next.cut"
    path.replace(kept)
    sync_folder(folder)
    return size, (kept,)


def _continues(newest: Segment, path: Path) -> bool:
    """Whether NEXT goes on behind `newest`; then it has its number now."""
    contents = _read(newest)
    if contents.end < contents.bytes_total:
        return False
    first = contents.last_sequence + 1
    following = _read(Segment(first, path))
    if not following.end or not contents.still_open.keys() <= following.carried:
        return False
    for file in (newest.path, path):
        _sync_file(file)
    number_next(newest.path.parent, first)
    return True


def _read(segment: Segment) -> _Contents:
    contents = _Contents(last_sequence=segment.first - 1)
    with segment.path.open("rb") as file:
        contents.bytes_total = os.fstat(file.fileno()).st_size
        try:
            for frame in records.read_frames(file, offset=0, end=contents.bytes_total, first=segment.first):
                _note(contents, records.decode(frame.payload))
                contents.end = frame.end
                contents.last_sequence = frame.sequence
        except BadFrame:
            pass  # What stands from contents.end on is cut, kept and reported by the caller.
    return contents


def _note(contents: _Contents, record: records.Record) -> None:
    match record:
        case Opened():
            _note_opened(contents, record)
        case Carried(opened=carried):
            for opened in carried:
                _note_opened(contents, opened)
                contents.carried.add(opened.event_id)
        case Closed(opened=opened, closed_at_us=at_us):
            contents.still_open.pop(opened.event_id, None)
            contents.last_seen_us = max(contents.last_seen_us, at_us)


def _note_opened(contents: _Contents, opened: Opened) -> None:
    contents.still_open[opened.event_id] = opened
    contents.last_seen_us = max(contents.last_seen_us, opened.opened_at_us)


def _cut_tail(segment: Segment, end: int) -> tuple[int, tuple[Path, ...]]:
    """Cut the segment behind its last whole frame; the bytes are put aside first, durably.

    Also an end that is not torn is synced: a killed writer left it to the kernel, a fresh segment will follow it, and
    nothing can mend a segment that is not the newest one any more.
    """
    with segment.path.open("r+b") as file:
        file.seek(end)
        tail = file.read()
        if not tail:
            os.fsync(file.fileno())
            return 0, ()
        kept_in = segment.path.with_suffix(".cut")
        with kept_in.open("wb") as cut:
            cut.write(tail)
            cut.flush()
            os.fsync(cut.fileno())
        sync_folder(segment.path.parent)
        file.truncate(end)
        os.fsync(file.fileno())
    return len(tail), (kept_in,)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
