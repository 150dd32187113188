"""What a journal's folder holds, for a person to look at. Nothing is changed, and a gateway may be writing."""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from metering import records
from metering.records import BadFrame, Carried, Closed, Frame, FrameIncomplete, Opened, Record, RecordUnreadable
from metering.segments import NEXT, Segment, journal_id, segments, written

RESTORE = (
    "Restore the file from a backup if there is one. Else follow 'A journal that stops' in docs/operations.md:"
    " what is in this segment and not shipped yet is lost."
)
START = "Start its gateway: it cuts what is torn, keeps it in a .cut file, and goes on behind it."


class NoJournal(Exception):
    """There is no journal at this place."""


class SegmentDamaged(Exception):
    """A segment cannot be read to its end."""


@dataclass(frozen=True)
class Problem:
    """What is wrong, at which byte of which file, and what to do."""

    segment: Path
    byte: int
    what: str
    remedy: str


@dataclass
class Inspected:
    """What was found in a journal, or in its newest segment alone. Of what came before the first segment read, only
    requests that were open there are known: `opened_before`.

        opened_before + opened = closed + open
    """

    folder: Path
    id: str | None
    in_use: bool
    thorough: bool  # Everything was read, not only the newest segment.
    segments: int
    size: int  # In bytes.
    first: int | None = None  # Sequences, of the oldest and of the newest record.
    last: int | None = None
    opened_before: int = 0
    opened: int = 0
    closed: int = 0
    torn_bytes: int = 0  # Behind the last whole record. Where a writer is at work it is about to write the rest.
    open: set[bytes] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    @property
    def records(self) -> int | None:
        """By their sequences; None where the newest cannot be known."""
        return None if self.first is None or self.last is None else self.last - self.first + 1

    @property
    def tail(self) -> str:
        if not self.torn_bytes:
            return "whole"
        return "being written" if self.in_use else f"{self.torn_bytes} bytes torn"


def journals(home: Path) -> list[Path]:
    """The folders of all journals below `home`, which may not be there."""
    if not home.is_dir():
        return []
    return sorted(folder for folder in home.iterdir() if folder.is_dir() and is_journal(folder))


def is_journal(folder: Path) -> bool:
    return folder.is_dir() and bool(journal_id(folder) or segments(folder))


def in_use(folder: Path) -> bool:
    """Whether a writer holds the journal's lock. It is taken for a moment to see that; a starting writer waits."""
    try:
        lock = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def look(folder: Path) -> Inspected:
    """Read only the newest segment: it alone knows what is open."""
    return _inspect(folder, newest_only=True)


def check(folder: Path) -> Inspected:
    """Read everything: checksums, sequences, and that each request was opened once and ended once."""
    return _inspect(folder, newest_only=False)


def _inspect(folder: Path, *, newest_only: bool) -> Inspected:
    if not is_journal(folder):
        raise NoJournal(f"{folder} is no journal: it has neither a segment nor a file 'id'.")
    used = in_use(folder)
    found = written(folder)
    identity = journal_id(folder)
    inspected = Inspected(
        folder,
        id=None if identity is None else str(identity),
        in_use=used,
        thorough=not newest_only,
        segments=len(found),
        size=sum(_size(segment) for segment in found),
        first=found[0].first if found else None,
    )
    newest = len(found) - 1
    if newest > 0 and found[newest].path.name == NEXT:
        newest -= 1
    follower = _Follower(inspected)
    for index in range(newest if newest_only else 0, len(found)):
        follower.read(found[index], may_be_torn=index == len(found) - 1 or (index == newest and not used))
    inspected.last = follower.last
    return inspected


def _size(segment: Segment) -> int:
    try:
        return segment.path.stat().st_size
    except FileNotFoundError:
        return 0  # Shipped and deleted, or given its number, just now.


def open_segment(segment: Segment) -> BinaryIO | None:
    """None where it was shipped and deleted meanwhile."""
    for path in (segment.path, segment.path.with_name(f"{segment.first:020d}.journal")):
        try:
            return path.open("rb")
        except FileNotFoundError:
            continue
    return None


def read_records(segment: Segment, file: BinaryIO) -> Iterator[tuple[Frame, Record]]:
    """Its records, up to what is written now. Raises BadFrame or RecordUnreadable where they end before that."""
    end = os.fstat(file.fileno()).st_size
    for frame in records.read_frames(file, offset=0, end=end, first=segment.first):
        yield frame, records.decode(frame.payload)


class _Follower:
    """Follows what is open from segment to segment."""

    def __init__(self, inspected: Inspected) -> None:
        self._found = inspected
        self.last: int | None = None
        self._segment = Segment(0, inspected.folder)
        self._byte = 0
        self._alone: set[bytes] = set()  # What is open as far as this segment alone knows.
        self._at_head = True
        self._remedy = RESTORE
        self._whole = False  # Whether the segments before were read to their ends.

    def read(self, segment: Segment, *, may_be_torn: bool) -> None:
        self._segment, self._byte, self._alone, self._at_head = segment, 0, set(), True
        self._remedy = START if segment.path.name == NEXT else RESTORE
        file = open_segment(segment)
        if file is None:
            self._forget()
            return
        with file:
            self._check_joint()
            if self.last is None:
                self.last = segment.first - 1
            try:
                for frame, record in read_records(segment, file):
                    self._note(record)
                    self._byte, self.last = frame.end, frame.sequence
            except BadFrame as problem:
                self._note_bad(problem, os.fstat(file.fileno()).st_size, may_be_torn=may_be_torn)
                return
            except RecordUnreadable as problem:
                self._tell(f"record {(self.last or 0) + 1}: {problem}", "Check it with a newer version.")
                self._forget()
                return
        if self._alone != self._found.open:
            self._tell(f"it does not carry {len(self._found.open - self._alone)} requests that are open")
        self._whole = True

    def _check_joint(self) -> None:
        first = self._segment.first
        if self.last is None or self.last + 1 == first:
            return
        if self.last >= first:
            self._tell(f"it begins with record {first}, although {self.last} came before it")
        else:
            self._tell(f"records {self.last + 1} to {first - 1} are missing before it")
        self._forget()

    def _forget(self) -> None:
        """Begin anew, as with the first segment: what is open here nobody knows."""
        self._whole = False
        self._found.open.clear()
        self._found.opened_before = self._found.opened = self._found.closed = 0

    def _note_bad(self, problem: BadFrame, size: int, *, may_be_torn: bool) -> None:
        torn = size - problem.offset
        self._byte = problem.offset
        if may_be_torn and self._found.in_use and isinstance(problem, FrameIncomplete):
            self._found.torn_bytes = torn
        elif may_be_torn and not self._found.in_use:
            self._found.torn_bytes = torn
            self._tell(f"{problem}: {torn} bytes are torn", START)
        else:
            self._tell(str(problem))
            self._forget()
            self.last = None

    def _note(self, record: Record) -> None:
        match record:
            case Carried(opened=carried):
                for opened in carried:
                    self._note_carried(opened.event_id)
            case Opened(event_id=event_id):
                if self._at_head and event_id in self._found.open:
                    self._note_carried(event_id)  # So older versions wrote what they carried.
                else:
                    self._at_head = False
                    self._note_opened(event_id)
            case Closed(opened=opened):
                self._note_closed(opened.event_id)

    def _note_carried(self, event_id: bytes) -> None:
        self._alone.add(event_id)
        if event_id not in self._found.open:
            if self._whole:
                self._tell(f"it carries {event_id.hex()}, which is not open")
                return
            self._found.opened_before += 1
            self._found.open.add(event_id)

    def _note_opened(self, event_id: bytes) -> None:
        if event_id in self._found.open:
            self._tell(f"{event_id.hex()} is opened a second time")
            return
        self._alone.add(event_id)
        self._found.open.add(event_id)
        self._found.opened += 1

    def _note_closed(self, event_id: bytes) -> None:
        if event_id not in self._found.open:
            if self._whole or not self._at_head:
                self._tell(f"{event_id.hex()} ends, and is not open")
                return
            self._found.opened_before += 1  # A writer that was killed left it to the one that began this segment.
        self._at_head = self._at_head and event_id not in self._alone
        self._alone.discard(event_id)
        self._found.open.discard(event_id)
        self._found.closed += 1

    def _tell(self, what: str, remedy: str | None = None) -> None:
        self._found.problems.append(Problem(self._segment.path, self._byte, what, remedy or self._remedy))
