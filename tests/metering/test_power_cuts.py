"""Writers that are killed and disks that lose power, between any two steps of a journal's life."""

import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from metering import inspection, records
from metering.group_sync import GroupSync
from metering.journal import Journal
from metering.records import Closed, Opened
from metering.segments import NEXT, segments
from metering.usage import Outcome
from tests.metering import samples
from tests.metering.disks import Disk, Killed
from tests.metering.journals import open_journal, read_all
from tests.metering.test_recovery import MEMORY

DEEDS = 60
SEEDS = 40


@dataclass
class Told:
    """Events that the writer said it had opened or closed, and how many of each were synced by then."""

    opened: list[bytes] = field(default_factory=list)
    closed: list[bytes] = field(default_factory=list)
    synced: tuple[int, int] = (0, 0)


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def _rounds_when_we_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The syncing thread sleeps: its rounds are ours, at moments that a seed decides."""
    monkeypatch.setattr(GroupSync, "wake", lambda _: None)


def live(at: Path, chance: random.Random, told: Told, disk: Disk, *, fsync_interval_ms: int) -> None:
    """One life of a writer: segments of a few records, and requests that stay open across them."""
    journal: Journal | None = None
    try:
        with disk.watched():
            journal = open_journal(at, segment_bytes_max=600, fsync_interval_ms=fsync_interval_ms)
            told.synced = len(told.opened), len(told.closed)
            running: list[Opened] = []
            for _ in range(DEEDS):
                do_something(journal, chance, told, running)
            journal.close()
    except Killed:
        if journal is not None:
            let_die(journal)


def do_something(journal: Journal, chance: random.Random, told: Told, running: list[Opened]) -> None:
    if running and chance.random() < 0.45:
        ended = running.pop(chance.randrange(len(running)))
        journal.append_closed(samples.closed(ended))
        told.closed.append(ended.event_id)
    else:
        journal.append_opened(opened := samples.opened())
        told.opened.append(opened.event_id)
        running.append(opened)
    syncer = journal._syncer
    if syncer is None:
        told.synced = len(told.opened), len(told.closed)
    elif chance.random() < 0.3:
        until = len(told.opened), len(told.closed)
        syncer.run_round()
        told.synced = until


def let_die(journal: Journal) -> None:
    """Give back what the kernel gives back when a process ends: the lock, open files and threads, and nothing else."""
    if journal._syncer is not None:
        journal._syncer.stop()
    files = journal._writer._files
    for descriptor in (files.current, files.retired, journal._writer._next, journal._lock):
        if descriptor is not None:
            with suppress(OSError):  # It died while it closed them.
                os.close(descriptor)


def assert_sound(at: Path, opened: list[bytes], closed: list[bytes]) -> None:
    """After the next start these events are there; each that was opened ended once, and those closed as they were."""
    open_journal(at, fsync_interval_ms=0).close()
    checked = inspection.check(at)
    assert checked.problems == []
    assert checked.opened == checked.closed
    assert not checked.open
    endings = [record for record in read_all(at) if isinstance(record, Closed)]
    outcomes = {ending.opened.event_id: ending.outcome for ending in endings}
    assert len(outcomes) == len(endings)
    assert set(opened) <= outcomes.keys()
    assert {outcomes[event_id] for event_id in closed} <= {Outcome.COMPLETED}
    expected = 1
    for segment, following in zip(segments(at), [*segments(at)[1:], None], strict=True):
        assert segment.first == expected
        expected = following.first if following else expected


def steps_of_a_life(seed: int, fsync_interval_ms: int) -> int:
    with folder() as at:
        disk = Disk(at, random.Random(seed))
        live(at, random.Random(seed), Told(), disk, fsync_interval_ms=fsync_interval_ms)
        disk.release()
        assert len(segments(at)) > 2
        return disk.steps


@pytest.mark.parametrize("fsync_interval_ms", [0, 60_000])
def test_a_writer_killed_at_any_step_loses_nothing_that_it_told(fsync_interval_ms: int) -> None:
    seed = 1
    for step in range(1, steps_of_a_life(seed, fsync_interval_ms) + 1):
        with folder() as at:
            told = Told()
            disk = Disk(at, random.Random(seed), kill_at=step)
            live(at, random.Random(seed), told, disk, fsync_interval_ms=fsync_interval_ms)
            disk.release()
            assert_sound(at, told.opened, told.closed)


@pytest.mark.parametrize("fsync_interval_ms", [0, 60_000])
def test_a_power_cut_at_any_step_takes_only_what_was_not_synced(fsync_interval_ms: int) -> None:
    seed = 2
    for step in range(1, steps_of_a_life(seed, fsync_interval_ms) + 1):
        with folder() as at:
            told = Told()
            disk = Disk(at, random.Random(step), kill_at=step)
            live(at, random.Random(seed), told, disk, fsync_interval_ms=fsync_interval_ms)
            disk.cut_power()
            disk.release()
            opened, closed = told.synced
            assert_sound(at, told.opened[:opened], told.closed[:closed])


def test_starts_that_are_killed_and_cut_off_one_after_the_other_lose_nothing_that_was_synced() -> None:
    for seed in range(SEEDS):
        chance = random.Random(seed)
        with folder() as at:
            told = Told()
            for _ in range(5):
                disk = Disk(at, chance, kill_at=chance.randint(1, 90))
                live(at, chance, told, disk, fsync_interval_ms=60_000)
                disk.cut_power()
                disk.release()
                opened, closed = told.synced
                told.opened, told.closed = told.opened[:opened], told.closed[:closed]
            assert_sound(at, told.opened, told.closed)


def test_what_is_in_an_unnumbered_segment_at_a_kill_goes_on_behind_the_numbered_one(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, segment_bytes_max=600, fsync_interval_ms=60_000)
    assert journal._syncer is not None
    journal.append_opened(long_running := samples.opened())
    while not (tmp_path / NEXT).exists() or not (tmp_path / NEXT).stat().st_size:
        journal._syncer.run_round()
        journal.append_opened(opened := samples.opened())
        journal.append_closed(samples.closed(opened))
    assert len(segments(tmp_path)) == 1
    journal.append_closed(samples.closed(long_running))
    let_die(journal)
    journal = open_journal(tmp_path)
    assert (journal.recovered.interrupted, journal.recovered.bytes_cut) == (0, 0)
    journal.close()
    assert not (tmp_path / NEXT).exists()
    assert samples.closed(long_running) in read_all(tmp_path)


def test_what_does_not_go_on_behind_the_numbered_segment_is_put_aside_and_reported(tmp_path: Path) -> None:
    """As a power cut leaves it that took the end of one file and not the other."""
    journal = open_journal(tmp_path)
    journal.append_opened(samples.opened())
    let_die(journal)
    (tmp_path / NEXT).write_bytes(data := b"a beginning of something that is not there")
    journal = open_journal(tmp_path)
    journal.close()
    assert (journal.recovered.interrupted, journal.recovered.bytes_cut) == (1, len(data))
    (kept,) = journal.recovered.cut_kept_in
    assert kept.read_bytes() == data


def test_a_beginning_of_what_was_carried_is_not_taken_for_all_of_it(tmp_path: Path) -> None:
    """Where thousands are open they are several records, and a writer may be killed between two of them."""
    journal = open_journal(tmp_path)
    opened = [samples.opened() for _ in range(3)]
    for request in opened:
        journal.append_opened(request)
    (payload, *_) = records.carry([records.encode(each) for each in opened[:2]])
    (tmp_path / NEXT).write_bytes(records.frame(journal.sequence + 1, payload))
    let_die(journal)
    journal = open_journal(tmp_path)
    journal.close()
    assert journal.recovered.interrupted == 3
    assert [record.opened for record in read_all(tmp_path) if isinstance(record, Closed)] == opened
