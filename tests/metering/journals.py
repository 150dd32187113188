"""Opens and reads journals, for tests."""

from pathlib import Path

from metering import records
from metering.journal import Journal
from metering.segments import Segment, segments


def open_journal(folder: Path, *, segment_bytes_max: int = 1 << 20, fsync_interval_ms: int = 10_000) -> Journal:
    return Journal.open(folder, segment_bytes_max=segment_bytes_max, fsync_interval_ms=fsync_interval_ms)


def read_segment(segment: Segment) -> list[records.Record]:
    """All records of a segment, which must be whole."""
    with segment.path.open("rb") as file:
        frames = records.read_frames(file, offset=0, end=segment.path.stat().st_size, first=segment.first)
        return [records.decode(frame.payload) for frame in frames]


def read_all(folder: Path) -> list[records.Record]:
    return [record for segment in segments(folder) for record in read_segment(segment)]
