"""The thread that waits for the disk, so that the one that appends to a journal does not."""

import logging
import threading
from pathlib import Path

from metering.segment_writer import SegmentWriter

log = logging.getLogger(__name__)


class GroupSync:
    """Syncs what was appended, every `interval_s`, and has the next segment ready before this one is full."""

    def __init__(self, folder: Path, writer: SegmentWriter, *, interval_s: float, segment_bytes_max: int) -> None:
        self.problem: OSError | None = None  # Why the last round came to nothing; the next one tries again.
        self._folder = folder
        self._writer = writer
        self._interval_s = interval_s
        self._prepare_from_bytes = segment_bytes_max // 2
        self._stopping = False
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Begin a round now: a segment is full, and there is none to go on in."""
        self._wanted.set()

    def stop(self) -> None:
        self._stopping = True
        self._wanted.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._wanted.wait(self._interval_s)
            self._wanted.clear()
            if self._stopping:
                return
            self.run_round()
            if self._writer.failure is not None:
                return

    def run_round(self) -> None:
        """Sync what was appended until now, and make ready what is due. Only ever by one thread."""
        try:
            self._writer.sync()
            if self._writer.appended_bytes >= self._prepare_from_bytes:
                self._writer.prepare()
        except OSError as problem:
            self._tell(problem)
        else:
            self.problem = None

    def _tell(self, problem: OSError) -> None:
        if self._writer.failure is not None:
            log.error("Journal %s could not be synced: %s. It takes no more records.", self._folder, problem)
        elif self.problem is None:
            log.error("Journal %s cannot begin another segment, and tries again: %s", self._folder, problem)
        self.problem = problem
