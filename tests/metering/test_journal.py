import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from metering import records
from metering.journal import AlreadyOpen, JournalInUse, JournalUnavailable, NotOpen
from metering.records import Carried, Closed, Opened, RecordTooLarge
from metering.segments import NEXT, journal_id, segments
from metering.usage import Outcome
from tests.metering import samples
from tests.metering.journals import open_journal, read_all, read_segment
from tests.waiting import until


def test_what_was_appended_stands_in_the_journal(tmp_path: Path) -> None:
    opened = samples.opened()
    journal = open_journal(tmp_path)
    journal.append_opened(opened)
    journal.append_closed(samples.closed(opened))
    assert read_all(tmp_path) == [opened, samples.closed(opened)]  # Already before it is closed.
    journal.close()


def test_a_second_writer_is_refused_and_told_what_to_do(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    with pytest.raises(JournalInUse, match="TOKENWORKS_JOURNAL_NAME"):
        open_journal(tmp_path)
    journal.close()
    open_journal(tmp_path).close()


def test_a_writer_in_another_process_is_refused(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    command = [sys.executable, "-m", "tests.metering.writer", str(tmp_path)]
    other = subprocess.run(command, cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=60, check=False)
    assert other.returncode == 1
    assert "JournalInUse" in other.stderr
    journal.close()


def test_a_journal_keeps_its_identity_and_a_wiped_folder_is_another_journal(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    open_journal(first).close()
    identity = journal_id(first)
    open_journal(first).close()
    open_journal(second).close()
    assert identity == journal_id(first) != journal_id(second)


def test_an_event_cannot_be_opened_twice(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.append_opened(opened := samples.opened())
    with pytest.raises(AlreadyOpen, match="made anew"):
        journal.append_opened(opened)
    journal.close()


def test_an_event_cannot_be_closed_twice(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.append_opened(opened := samples.opened())
    journal.append_closed(samples.closed(opened))
    with pytest.raises(NotOpen):
        journal.append_closed(samples.closed(opened))
    journal.close()
    assert len(read_all(tmp_path)) == 2


def test_a_record_that_is_too_large_changes_nothing(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.append_opened(opened := samples.opened())
    with pytest.raises(RecordTooLarge):
        journal.append_closed(samples.closed(opened, upstream_usage=b"x" * records.PAYLOAD_BYTES_MAX))
    journal.append_closed(samples.closed(opened))
    journal.close()
    assert read_all(tmp_path) == [opened, samples.closed(opened)]


@pytest.mark.parametrize("fsync_interval_ms", [0, 1, 10_000])
def test_records_are_kept_at_every_sync_interval(tmp_path: Path, fsync_interval_ms: int) -> None:
    journal = open_journal(tmp_path, fsync_interval_ms=fsync_interval_ms)
    journal.append_opened(opened := samples.opened())
    journal.close()
    assert read_all(tmp_path) == [opened]


def test_a_full_segment_is_followed_by_one_that_begins_with_what_is_open(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, segment_bytes_max=1000)
    journal.append_opened(long_running := samples.opened())
    while len(segments(tmp_path)) < 3:
        journal.append_opened(opened := samples.opened())
        journal.append_closed(samples.closed(opened))
    for segment in segments(tmp_path)[1:]:
        carried = read_segment(segment)[0]
        assert isinstance(carried, Carried)
        assert long_running in carried.opened
    journal.append_closed(samples.closed(long_running))
    journal.close()
    assert open_journal(tmp_path).recovered.interrupted == 0


def test_the_sequence_has_no_gaps_across_segments_and_restarts(tmp_path: Path) -> None:
    for _ in range(3):
        journal = open_journal(tmp_path, segment_bytes_max=500)
        for _ in range(5):
            journal.append_opened(opened := samples.opened())
            journal.append_closed(samples.closed(opened))
        journal.append_opened(samples.opened())
        journal.close()
    expected = 1
    for segment in segments(tmp_path):
        assert segment.first == expected
        expected += len(read_segment(segment))


def test_a_journal_without_records_leaves_one_segment_however_often_it_is_opened(tmp_path: Path) -> None:
    for _ in range(3):
        open_journal(tmp_path).close()
    assert len(segments(tmp_path)) == 1


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(JournalUnavailable, match="Not a directory"):
        open_journal(tmp_path / "file" / "journal")


@pytest.fixture
def disk_bytes() -> Iterator["DiskLimit"]:
    """A disk that is full at a size of our choosing, by the kernel's own limit on the size of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield DiskLimit(before)
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


class DiskLimit:
    def __init__(self, before: tuple[int, int]) -> None:
        self._before = before

    def set(self, size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, self._before[1]))

    def lift(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)


@pytest.mark.parametrize("bytes_left", [0, 5, 40])
def test_a_full_disk_refuses_the_request_and_leaves_no_half_record(
    tmp_path: Path, disk_bytes: DiskLimit, bytes_left: int
) -> None:
    journal = open_journal(tmp_path)
    journal.append_opened(first := samples.opened())
    size = segments(tmp_path)[-1].path.stat().st_size
    disk_bytes.set(size + bytes_left)
    with pytest.raises(JournalUnavailable, match="Free the disk"):
        journal.append_opened(samples.opened())
    disk_bytes.lift()
    assert segments(tmp_path)[-1].path.stat().st_size == size
    journal.append_opened(second := samples.opened())
    journal.close()
    assert read_all(tmp_path) == [first, second]


def test_an_ending_that_the_disk_refused_becomes_an_interruption_as_soon_as_there_is_room(
    tmp_path: Path, disk_bytes: DiskLimit
) -> None:
    journal = open_journal(tmp_path)
    journal.append_opened(first := samples.opened())
    disk_bytes.set(segments(tmp_path)[-1].path.stat().st_size + 10)
    with pytest.raises(JournalUnavailable):
        journal.append_closed(samples.closed(first))
    with pytest.raises(NotOpen):
        journal.append_closed(samples.closed(first))
    disk_bytes.lift()
    journal.append_opened(second := samples.opened())
    journal.append_closed(samples.closed(second))
    journal.close()
    endings = [record for record in read_all(tmp_path) if isinstance(record, Closed)]
    assert [(ending.opened, ending.outcome) for ending in endings] == [
        (first, Outcome.INTERRUPTED),
        (second, Outcome.COMPLETED),
    ]


def test_a_disk_too_full_for_a_fresh_segment_goes_on_in_the_old_one_later(
    tmp_path: Path, disk_bytes: DiskLimit
) -> None:
    journal = open_journal(tmp_path, segment_bytes_max=50, fsync_interval_ms=0)
    journal.append_opened(first := samples.opened())
    disk_bytes.set(10)
    with pytest.raises(JournalUnavailable):
        journal.append_opened(samples.opened())
    disk_bytes.lift()
    journal.append_opened(second := samples.opened())
    journal.close()
    assert read_segment(segments(tmp_path)[-1]) == [Carried((first,)), second]
    assert [segment.first for segment in segments(tmp_path)] == [1, 2]


def test_a_segment_that_cannot_be_followed_goes_on_to_twice_its_limit_and_then_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where a disk has no inodes left: a file cannot be made, and one that is there can grow."""
    journal = open_journal(tmp_path, segment_bytes_max=2_000, fsync_interval_ms=1)
    (tmp_path / NEXT).mkdir()
    for _ in range(15):
        journal.append_opened(samples.opened())
    until(lambda: "cannot begin another segment" in caplog.text, "the trouble is said", 30)
    with pytest.raises(JournalUnavailable, match="Is a directory"):  # noqa: PT012 - one of them, not a certain one.
        for _ in range(100):
            journal.append_opened(samples.opened())
    assert 4_000 <= segments(tmp_path)[-1].path.stat().st_size < 4_200
    (tmp_path / NEXT).rmdir()
    until(lambda: journal._writer.can_switch, "there is a segment to go on in", 30)
    journal.append_opened(samples.opened())
    journal.close()
    assert len(segments(tmp_path)) == 2
    assert caplog.text.count("cannot begin another segment") == 1


def test_a_disk_that_cannot_sync_takes_no_more_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed sync cannot be provoked on a sound disk, so the system call alone is replaced."""
    journal = open_journal(tmp_path, fsync_interval_ms=0)

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    with pytest.raises(JournalUnavailable, match="Input/output"):
        journal.append_opened(samples.opened())
    monkeypatch.undo()
    with pytest.raises(JournalUnavailable, match="Input/output"):
        journal.append_opened(samples.opened())
    journal.close()
    assert read_all(tmp_path) == []


def test_a_request_that_is_open_at_shutdown_is_interrupted_at_the_next_start(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.append_opened(opened := samples.opened())
    journal.close()
    journal = open_journal(tmp_path)
    journal.close()
    assert journal.recovered.interrupted == 1
    ending = read_all(tmp_path)[-1]
    assert isinstance(ending, Closed)
    assert (ending.opened, ending.outcome, ending.billed) == (opened, Outcome.INTERRUPTED, False)
    assert isinstance(read_all(tmp_path)[0], Opened)
