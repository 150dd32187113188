"""The durable log that a gateway process writes: every request is in it before it leaves and before it is answered.

    JournalError
    ├── JournalInUse          another process writes this journal
    ├── JournalUnavailable    the disk refuses: full, read-only or broken
    ├── AlreadyOpen           the same event was opened twice
    └── NotOpen               an event was closed that is not open

Records reach the kernel with one write before the caller goes on, so they outlive a killed process. They reach the
disk with the next group sync, so a power cut takes at most the last `fsync_interval_ms` and the time of that sync.

The caller waits for that write and for nothing else: metering/segment_writer.py says how it gets from one segment to
the next. Only at an interval of 0 does it wait for the disk, with every record and with every segment.
"""

import fcntl
import logging
import os
import time
from pathlib import Path

from metering import records, segments
from metering.group_sync import GroupSync
from metering.records import Closed, Opened
from metering.recovery import RecoveryReport, recover
from metering.segment_writer import SegmentWriter

log = logging.getLogger(__name__)

LOCK_TRIES = 5
LOCK_WAIT_S = 0.02


class JournalError(Exception):
    """The journal cannot do what was asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class JournalInUse(JournalError):
    """Another process writes this journal."""


class JournalUnavailable(JournalError):
    """The journal cannot be written."""


class AlreadyOpen(JournalError):
    """An event of this id is open already: ids must be made anew for every request."""


class NotOpen(JournalError):
    """The event is not open: it was never opened, or it is closed already."""


class Journal:
    """The one writer of a journal's folder. Appending belongs to one thread; the group sync runs in another."""

    def __init__(
        self, folder: Path, lock: int, recovered: RecoveryReport, segment_bytes_max: int, fsync_interval_ms: int
    ) -> None:
        self.recovered = recovered
        self._folder = folder
        self._lock = lock
        self._segment_bytes_max = segment_bytes_max
        self._sequence = recovered.last_sequence
        self._open: dict[bytes, bytes] = {}  # Payloads of what is open, carried into the next segment.
        self._owed: dict[bytes, bytes] = {}  # Endings that the disk refused; they go before anything else.
        self._writer = SegmentWriter(folder, recovered.segment)
        self._syncer: GroupSync | None = None
        if fsync_interval_ms:
            self._syncer = GroupSync(
                folder, self._writer, interval_s=fsync_interval_ms / 1000, segment_bytes_max=segment_bytes_max
            )

    @classmethod
    def open(cls, folder: Path, *, segment_bytes_max: int, fsync_interval_ms: int) -> "Journal":
        """Lock the folder, repair what a crash left, and begin a fresh segment.

        `fsync_interval_ms` 0 syncs each record before append returns. A segment may pass `segment_bytes_max` by one
        record, by what is carried into it and, where the disk is slow to make the next one, by what is appended
        meanwhile; where it cannot make one, up to twice the limit. Raises JournalInUse or JournalUnavailable.
        """
        try:
            _make_folder(folder)
            lock = _take_lock(folder)
            try:
                segments.ensure_journal_id(folder)
                recovered = recover(folder)
                journal = cls(folder, lock, recovered, segment_bytes_max, fsync_interval_ms)
            except BaseException:
                os.close(lock)
                raise
        except OSError as problem:
            raise _unavailable(folder, problem) from problem
        if recovered.bytes_cut or recovered.interrupted:
            log.warning(
                "Journal %s was repaired: %d bytes of a torn tail cut (kept in %s), %d requests were interrupted.",
                folder, recovered.bytes_cut, ", ".join(map(str, recovered.cut_kept_in)) or "no file",
                recovered.interrupted,
            )  # fmt: skip
        return journal

    @property
    def sequence(self) -> int:
        """Of the last record that was appended."""
        return self._sequence

    @property
    def unsynced_us(self) -> int:
        """How long the oldest record may have waited for the disk; 0 where every record is synced by itself."""
        return (time.monotonic_ns() - self._writer.durable_until_ns) // 1000 if self._syncer is not None else 0

    def append_opened(self, opened: Opened) -> None:
        """Write that a request is about to leave. Raises JournalUnavailable, and then nothing is left behind."""
        if opened.event_id in self._open:
            raise AlreadyOpen
        payload = records.encode(opened)
        self._append(payload)
        self._open[opened.event_id] = payload

    def append_closed(self, closed: Closed) -> None:
        """Write how a request ended; call it before the last bytes of its answer leave.

        Raises JournalUnavailable. The last bytes must then not be sent: the event will be *interrupted*, written as
        soon as the disk takes records again or by the next recovery, and it cannot be closed any more.
        """
        event_id = closed.opened.event_id
        if event_id not in self._open or event_id in self._owed:
            raise NotOpen
        payload = records.encode(closed)
        try:
            self._append(payload)
        except JournalUnavailable:
            self._owed[event_id] = records.encode(records.interrupted(closed.opened, closed.closed_at_us))
            raise
        del self._open[event_id]

    def close(self) -> None:
        """Sync and let go of the folder. What is still open will be interrupted at the next opening."""
        if self._syncer is not None:
            self._syncer.stop()
        try:
            if self._writer.failure is None:
                self._pay_owed()
            self._writer.close()
        except OSError as problem:
            raise _unavailable(self._folder, problem) from problem
        finally:
            os.close(self._lock)

    def _append(self, payload: bytes) -> None:
        if self._writer.failure is not None:
            raise _unavailable(self._folder, self._writer.failure)
        try:
            if self._owed:
                self._pay_owed()
            if self._writer.appended_bytes >= self._segment_bytes_max:
                self._rotate()
            self._write(payload)
        except OSError as problem:
            raise _unavailable(self._folder, problem) from problem

    def _write(self, payload: bytes) -> None:
        frame = records.frame(self._sequence + 1, payload)
        self._writer.write(frame)
        if self._syncer is None:
            try:
                self._writer.sync()
            except OSError:
                self._writer.take_back(len(frame))
                raise
        self._sequence += 1

    def _pay_owed(self) -> None:
        for event_id, payload in list(self._owed.items()):
            self._write(payload)
            del self._owed[event_id], self._open[event_id]

    def _rotate(self) -> None:
        """Go on in a fresh segment that begins with what is open, if there is one already."""
        if self._syncer is None:
            self._writer.prepare()
        elif not self._writer.can_switch:
            self._wait_for_none(self._syncer)
            return
        first = self._sequence + 1
        head = [
            records.frame(sequence, payload)
            for sequence, payload in enumerate(records.carry(self._open.values()), start=first)
        ]
        self._writer.switch(first, head)
        self._sequence += len(head)

    def _wait_for_none(self, syncer: GroupSync) -> None:
        """Have the next segment made, and go on in this one meanwhile; raises OSError where that goes too far."""
        if syncer.problem is None:
            syncer.wake()
        elif self._writer.appended_bytes >= 2 * self._segment_bytes_max:
            raise syncer.problem


def _make_folder(folder: Path) -> None:
    """Make the folder, and its name durable: a power cut would else take all that is synced within it."""
    folder.mkdir(parents=True, exist_ok=True)
    if segments.journal_id(folder) is None:  # Whoever began it may have been killed before it was durable.
        for above in folder.parents[:2]:
            segments.sync_folder(above)


def _take_lock(folder: Path) -> int:
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_WAIT_S)  # `tokenworks journal` takes it for a moment, to see whether it is taken.
        else:
            return lock
    os.close(lock)
    raise JournalInUse(
        f"{folder} is written by another process. Give each gateway process its own TOKENWORKS_JOURNAL_NAME."
    )


def _unavailable(folder: Path, problem: OSError) -> JournalUnavailable:
    return JournalUnavailable(f"{folder} cannot be written: {problem}. Free the disk or mend it; then restart.")
