"""A gateway's journal writer as a process that tests may kill: opens and closes requests as fast as it can.

It says on its standard output what it appended, 17 bytes a record: "o" or "c" and the event's id.
"""

import os
import sys
from pathlib import Path

from metering.journal import Journal
from tests.metering import samples


def write(folder: Path) -> None:
    journal = Journal.open(folder, segment_bytes_max=5_000, fsync_interval_ms=1)
    while True:
        opened = samples.opened()
        journal.append_opened(opened)
        os.write(1, b"o" + opened.event_id)
        if opened.event_id[-1] % 8:  # One in eight is left open.
            journal.append_closed(samples.closed(opened))
            os.write(1, b"c" + opened.event_id)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
