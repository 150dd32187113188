"""The durable log that a gateway process writes: every request is in it before it leaves and before it is answered.

    JournalError
    ├── JournalInUse          another process writes this journal
    ├── JournalUnavailable    the disk refuses: full, read-only or broken
    ├── AlreadyOpen           the same event was opened twice
    └── NotOpen               an event was closed that is not open

Records reach the kernel with one write before the caller goes on, so they outlive a killed process. They reach the
disk with the next group sync, so a power cut takes at most the last `fsync_interval_ms`.
"""

import errno
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from metering import records, segments
from metering.records import Closed, Opened
from metering.recovery import RecoveryReport, recover

log = logging.getLogger(__name__)


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
        self._fsync_interval_s = fsync_interval_ms / 1000
        self._sequence = recovered.last_sequence
        self._open: dict[bytes, bytes] = {}  # Payloads of what is open, carried into the next segment.
        self._owed: dict[bytes, bytes] = {}  # Endings that the disk refused; they go before anything else.
        self._failure: OSError | None = None
        self._dirty = False
        self._durable_until_ns = time.monotonic_ns()  # What was written before is on the disk.
        self._descriptor_lock = threading.Lock()
        self._use_segment(recovered.segment)
        self._stopping = threading.Event()
        self._syncer = threading.Thread(target=self._sync_in_groups, name="journal-sync", daemon=True)
        if fsync_interval_ms:
            self._syncer.start()

    @classmethod
    def open(cls, folder: Path, *, segment_bytes_max: int, fsync_interval_ms: int) -> "Journal":
        """Lock the folder, repair what a crash left, and begin a fresh segment.

        `fsync_interval_ms` 0 syncs each record before append returns. A segment may pass `segment_bytes_max` by one
        record and by the records carried into it. Raises JournalInUse or JournalUnavailable.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
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
                folder, recovered.bytes_cut, recovered.cut_kept_in, recovered.interrupted,
            )  # fmt: skip
        return journal

    @property
    def sequence(self) -> int:
        """Of the last record that was appended."""
        return self._sequence

    @property
    def unsynced_us(self) -> int:
        """How long the oldest record may have waited for the disk; 0 where every record is synced by itself."""
        return (time.monotonic_ns() - self._durable_until_ns) // 1000 if self._fsync_interval_s else 0

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
        self._stopping.set()
        if self._syncer.is_alive():
            self._syncer.join()
        try:
            if self._failure is None:
                self._pay_owed()
                os.fdatasync(self._descriptor)
        except OSError as problem:
            raise _unavailable(self._folder, problem) from problem
        finally:
            os.close(self._descriptor)
            os.close(self._lock)

    def _append(self, payload: bytes) -> None:
        if self._failure is not None:
            raise _unavailable(self._folder, self._failure)
        try:
            if self._owed:
                self._pay_owed()
            if self._appended_bytes >= self._segment_bytes_max:
                self._rotate()
            self._write(payload)
        except OSError as problem:
            raise _unavailable(self._folder, problem) from problem

    def _write(self, payload: bytes) -> None:
        """One frame, whole or not at all: half a frame would hide all that is appended behind it."""
        frame = records.frame(self._sequence + 1, payload)
        try:
            written = os.write(self._descriptor, frame)
            if written != len(frame):
                raise OSError(errno.ENOSPC, f"only {written} of {len(frame)} bytes were taken")
            if not self._fsync_interval_s:
                self._fail_unless_done(os.fdatasync, self._descriptor)
        except OSError:
            self._fail_unless_done(os.ftruncate, self._descriptor, self._size)
            raise
        self._sequence += 1
        self._size += len(frame)
        self._appended_bytes += len(frame)
        self._dirty = True

    def _pay_owed(self) -> None:
        for event_id, payload in list(self._owed.items()):
            self._write(payload)
            del self._owed[event_id], self._open[event_id]

    def _rotate(self) -> None:
        """Go on in a fresh segment that begins with what is open.

        The old segment is made durable first: once a newer one exists, an incomplete tail would count as corruption.
        """
        self._fail_unless_done(os.fdatasync, self._descriptor)
        first = self._sequence + 1
        try:
            fresh, last = segments.create_segment(self._folder, first, self._open.values())
        except OSError as problem:
            if segments.segments(self._folder)[-1].first == first:
                self._failure = problem  # It got its name, so nothing may follow in the old one any more.
            raise
        with self._descriptor_lock:
            os.close(self._descriptor)
            self._use_segment(fresh.path)
            self._sequence = last

    def _use_segment(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._size = os.fstat(self._descriptor).st_size
        self._appended_bytes = 0

    def _sync_in_groups(self) -> None:
        while not self._stopping.wait(self._fsync_interval_s):
            began_ns = time.monotonic_ns()
            if self._dirty:
                self._dirty = False
                with self._descriptor_lock:
                    descriptor = os.dup(self._descriptor)  # Stays valid when a rotation closes the other one.
                try:
                    os.fdatasync(descriptor)
                except OSError as problem:
                    self._failure = problem
                    log.error("Journal %s could not be synced: %s. It takes no more records.", self._folder, problem)
                finally:
                    os.close(descriptor)
            if self._failure is None:
                self._durable_until_ns = began_ns

    def _fail_unless_done(self, deed: Callable[..., None], *arguments: int) -> None:
        """Do it, or take no more records for good: after a failed sync or truncate nobody knows what the disk holds."""
        try:
            deed(*arguments)
        except OSError as problem:
            self._failure = problem
            raise


def _take_lock(folder: Path) -> int:
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise JournalInUse(
            f"{folder} is written by another process. Give each gateway process its own TOKENWORKS_JOURNAL_NAME."
        ) from None
    return lock


def _unavailable(folder: Path, problem: OSError) -> JournalUnavailable:
    return JournalUnavailable(f"{folder} cannot be written: {problem}. Free the disk or mend it; then restart.")
