"""Appends to a journal's newest segment and goes on in a fresh one, while another thread waits for the disk.

The appending thread only ever writes to files that are open: it makes, names and syncs none. A segment ends so:

1. `prepare` (syncing thread) makes an empty file, NEXT, and makes its name durable.
2. `switch` (appending thread) writes there what is open, with one write, and from then on appends there.
3. `sync` (syncing thread) syncs the old segment, then NEXT, then gives NEXT its number and syncs the folder.

Why nothing is lost. A process killed at any point leaves in the kernel all that it wrote: before 2 the old segment is
whole and NEXT is empty or torn within what it carries, which the old segment holds too; after it recovery reads NEXT
behind the old segment. A power cut before 3 is done may leave any beginning of either file. What it takes was
written after the last `sync` that ended, for 3 syncs both. If the old segment's end is missing, NEXT does not continue
it, and recovery puts NEXT aside. After 3 the old segment is whole for good, and the new one carries all that is open,
so neither recovery nor a shipper ever meets an older segment with a torn end.

Only one segment is between 2 and 3: there is no other NEXT before. Until it is there the old segment goes on.
"""

import errno
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from metering.segments import NEXT, create_next, number_next


class _Files(NamedTuple):
    """Descriptors, replaced as one, so that the other thread never sees half a switch."""

    current: int
    retired: int | None = None  # The segment before, until step 3 is done.
    first: int = 0  # Of the current one, while it has no number.


class SegmentWriter:
    """`write`, `take_back` and `switch` belong to one thread, `sync` and `prepare` to another or to the same."""

    def __init__(self, folder: Path, newest: Path) -> None:
        self.failure: OSError | None = None  # Nobody knows what the disk holds: nothing more may be written.
        self.appended_bytes = 0  # To the current segment, without what was carried into it.
        self.durable_until_ns = time.monotonic_ns()  # What was written before is on the disk.
        self._folder = folder
        self._files = _Files(os.open(newest, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))
        self._next: int | None = None
        self._size = os.fstat(self._files.current).st_size
        self._dirty = False

    @property
    def can_switch(self) -> bool:
        return self._next is not None

    @property
    def can_prepare(self) -> bool:
        return self._next is None and self._files.retired is None

    def write(self, frame: bytes) -> None:
        """Write it whole or not at all: half a frame would hide all that is appended behind it."""
        try:
            written = os.write(self._files.current, frame)
            if written != len(frame):
                raise _full(written, len(frame))
        except OSError:
            self._sure(os.ftruncate, self._files.current, self._size)
            raise
        self._size += written
        self.appended_bytes += written
        self._dirty = True

    def take_back(self, frame_bytes: int) -> None:
        """Undo the last write."""
        self._sure(os.ftruncate, self._files.current, self._size - frame_bytes)
        self._size -= frame_bytes
        self.appended_bytes -= frame_bytes

    def switch(self, first: int, head: Sequence[bytes]) -> None:
        """Step 2: go on in NEXT, whose first record is number `first` and which begins with the frames `head`."""
        if self._next is None:
            raise RuntimeError("There is nothing to switch to: call prepare before.")
        begin = b"".join(head)
        try:
            if begin and (written := os.write(self._next, begin)) != len(begin):
                raise _full(written, len(begin))
        except OSError:
            self._sure(os.ftruncate, self._next, 0)
            raise
        self._files = _Files(self._next, retired=self._files.current, first=first)
        self._next = None
        self._size, self.appended_bytes = len(begin), 0
        self._dirty = True

    def sync(self) -> None:
        """Make durable what was written before this call; step 3, where it is due.

        After an error of a sync `failure` is set. Any other is one of naming NEXT, and may be tried again.
        """
        began_ns = time.monotonic_ns()
        dirty, self._dirty = self._dirty, False
        files = self._files
        if files.retired is not None:
            self._sure(os.fdatasync, files.retired)
        if dirty or files.retired is not None:
            self._sure(os.fdatasync, files.current)
        if files.retired is not None:
            number_next(self._folder, files.first)
            self._files = _Files(files.current)
            os.close(files.retired)
        self.durable_until_ns = began_ns

    def prepare(self) -> None:
        """Step 1. It may be tried again after an error."""
        if self.can_prepare:
            self._next = create_next(self._folder)

    def close(self) -> None:
        """Sync, and let go of the files."""
        try:
            if self.failure is None:
                self.sync()
        finally:
            for descriptor in (self._files.current, self._files.retired, self._next):
                if descriptor is not None:
                    os.close(descriptor)
        if self._next is not None:
            (self._folder / NEXT).unlink(missing_ok=True)

    def _sure(self, deed: Callable[..., None], *arguments: int) -> None:
        """Do it, or take no more records for good: after a failed sync or truncate nobody knows what the disk holds."""
        try:
            deed(*arguments)
        except OSError as problem:
            self.failure = problem
            raise


def _full(written: int, wanted: int) -> OSError:
    return OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: only {written} of {wanted} bytes were taken")
