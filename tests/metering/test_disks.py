"""Journals on real file systems that fill up, break and cannot be written."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from metering import inspection
from metering.journal import Journal, JournalUnavailable
from metering.records import Closed, Opened
from metering.usage import Outcome
from tests.metering import samples
from tests.metering.journals import open_journal, read_all
from tests.metering.mounts import (
    ext4_disk,
    fill,
    find_error,
    free,
    make_read_only,
    mount_again,
    small_disk,
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as mounted:
        yield mounted


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[Path]:
    with ext4_disk(tmp_path / "ext4") as mounted:
        yield mounted


def endings(folder: Path) -> dict[bytes, str]:
    found = [record for record in read_all(folder) if isinstance(record, Closed)]
    assert len({ending.opened.event_id for ending in found}) == len(found)
    return {ending.opened.event_id: ending.outcome for ending in found}


def append_until_refused(journal: Journal) -> list[Opened]:
    """Requests that were opened before the disk was full."""
    opened = []
    with pytest.raises(JournalUnavailable, match="No space left"):  # noqa: PT012 - one of them, not a certain one.
        while True:
            journal.append_opened(request := samples.opened())
            opened.append(request)
    return opened


@pytest.mark.parametrize("fsync_interval_ms", [0, 1])
def test_a_full_disk_refuses_requests_and_takes_them_again_when_there_is_room(
    disk: Path, fsync_interval_ms: int
) -> None:
    journal = open_journal(disk / "j", segment_bytes_max=100_000, fsync_interval_ms=fsync_interval_ms)
    fill(disk, bytes_left=20_000)
    opened = append_until_refused(journal)
    assert opened
    with pytest.raises(JournalUnavailable, match="Free the disk"):
        journal.append_closed(samples.closed(opened[0], upstream_usage=b"[" + b"1," * 3000 + b"1]"))
    free(disk)
    for request in opened[1:]:
        journal.append_closed(samples.closed(request))
    journal.append_opened(later := samples.opened())
    journal.append_closed(samples.closed(later))
    journal.close()
    found = endings(disk / "j")
    assert found.pop(opened[0].event_id) == Outcome.INTERRUPTED
    assert set(found) == {request.event_id for request in (*opened[1:], later)}
    assert set(found.values()) == {Outcome.COMPLETED}
    assert inspection.check(disk / "j").problems == []


@pytest.mark.parametrize("fsync_interval_ms", [0, 1])
@pytest.mark.parametrize("bytes_left", [0, 4096, 12_288])
def test_a_disk_that_is_full_where_a_segment_should_begin_loses_nothing(
    disk: Path, fsync_interval_ms: int, bytes_left: int
) -> None:
    """What is open fills pages, so that carrying it meets the end of the disk."""
    journal = open_journal(disk / "j", segment_bytes_max=20_000, fsync_interval_ms=fsync_interval_ms)
    opened = [samples.opened() for _ in range(190)]
    for request in opened:
        journal.append_opened(request)
    fill(disk, bytes_left=bytes_left)
    opened += append_until_refused(journal)
    free(disk)
    for request in opened:
        journal.append_closed(samples.closed(request))
    journal.close()
    assert endings(disk / "j") == {request.event_id: Outcome.COMPLETED for request in opened}
    assert inspection.check(disk / "j").problems == []


def test_a_disk_that_fills_up_again_and_again_loses_nothing_that_was_taken(disk: Path) -> None:
    chance = random.Random(7)
    journal = open_journal(disk / "j", segment_bytes_max=8_000, fsync_interval_ms=1)
    running: list[Opened] = []
    opened, told = set(), set()
    for turn in range(3_000):
        if turn % 300 == 100:
            fill(disk, bytes_left=chance.randrange(3) * 4096)
        if turn % 300 == 200:
            free(disk)
        try:
            if running and chance.random() < 0.5:
                ended = running.pop()
                journal.append_closed(samples.closed(ended))
                told.add(ended.event_id)
            else:
                journal.append_opened(request := samples.opened())
                running.append(request)
                opened.add(request.event_id)
        except JournalUnavailable:
            continue
    journal.close()
    open_journal(disk / "j").close()
    found = endings(disk / "j")
    assert found.keys() == opened
    assert {event_id for event_id, outcome in found.items() if outcome == Outcome.COMPLETED} == told
    assert len(told) < len(opened)
    assert inspection.check(disk / "j").problems == []


def test_a_journal_on_a_read_only_disk_is_unavailable(disk: Path) -> None:
    open_journal(disk / "j").close()
    make_read_only(disk)
    with pytest.raises(JournalUnavailable, match="Read-only file system"):
        open_journal(disk / "j")
    assert inspection.check(disk / "j").problems == []


@pytest.mark.parametrize("fsync_interval_ms", [0, 1])
def test_a_disk_that_breaks_takes_no_more_records_and_keeps_what_was_synced(
    fragile: Path, fsync_interval_ms: int
) -> None:
    journal = open_journal(fragile / "j", segment_bytes_max=2_000, fsync_interval_ms=0)
    answered = []
    for _ in range(30):
        journal.append_opened(request := samples.opened())
        journal.append_closed(samples.closed(request))
        answered.append(request)
    journal.close()
    journal = open_journal(fragile / "j", segment_bytes_max=2_000, fsync_interval_ms=fsync_interval_ms)
    find_error(fragile)
    with pytest.raises(JournalUnavailable, match="Read-only file system"):
        journal.append_opened(samples.opened())
    with pytest.raises(JournalUnavailable):
        journal.append_opened(samples.opened())
    journal.close()
    mount_again(fragile)
    open_journal(fragile / "j").close()
    assert endings(fragile / "j") == {request.event_id: Outcome.COMPLETED for request in answered}
    assert inspection.check(fragile / "j").problems == []


def test_records_that_were_not_synced_when_the_disk_broke_are_lost_and_no_other(fragile: Path) -> None:
    journal = open_journal(fragile / "j", fsync_interval_ms=60_000)
    assert journal._syncer is not None
    journal.append_opened(first := samples.opened())
    journal.append_closed(samples.closed(first))
    journal._syncer.run_round()
    journal.append_opened(second := samples.opened())
    find_error(fragile)
    journal._syncer.run_round()
    with pytest.raises(JournalUnavailable, match=r"Read-only|Input/output"):
        journal.append_closed(samples.closed(second))
    journal.close()
    mount_again(fragile)
    open_journal(fragile / "j").close()
    found = endings(fragile / "j")
    assert found.pop(first.event_id) == Outcome.COMPLETED
    assert set(found.values()) <= {Outcome.INTERRUPTED}
    assert inspection.check(fragile / "j").problems == []
