import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import settings as thoroughness
from hypothesis import strategies as st

from metering import recovery, segments
from metering.records import Closed, Opened, Record, RecordUnreadable, encode, frame
from metering.usage import Outcome
from tests.metering import samples
from tests.metering.journals import open_journal, read_all, read_segment

# Three requests: one carried in from an older segment, one that ends, one that is still open.
CARRIED, ENDED, OPEN = (samples.opened(at_us=samples.NOON_US + at) for at in (0, 1_000, 2_000))
RECORDS: list[Record] = [CARRIED, ENDED, samples.closed(ENDED), OPEN, samples.closed(CARRIED)]
FIRST = 41
FRAMES = [frame(sequence, encode(record)) for sequence, record in enumerate(RECORDS, start=FIRST)]
SEGMENT = b"".join(FRAMES)
ENDS = [sum(map(len, FRAMES[:count])) for count in range(len(FRAMES) + 1)]


MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # Thousands of recoveries would wear a disk.


def left_open(records: list[Record]) -> list[Opened]:
    ended = {record.opened for record in records if isinstance(record, Closed)}
    return [record for record in records if isinstance(record, Opened) and record not in ended]


def recover_from(data: bytes, whole: int) -> None:
    """Recover a journal whose newest segment holds `data`, and check that exactly `whole` records of it were kept."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        folder = Path(name)
        path = folder / f"{FIRST:020d}.journal"
        path.write_bytes(data)
        report = recovery.recover(folder)
        kept = RECORDS[:whole]
        if whole:
            assert read_segment(segments.segments(folder)[0]) == kept
        assert report.bytes_cut == len(data) - ENDS[whole]
        if report.bytes_cut:
            (kept_in,) = report.cut_kept_in
            assert kept_in.read_bytes() == data[ENDS[whole] :]
        endings = [record for record in read_segment(segments.segments(folder)[-1]) if isinstance(record, Closed)]
        assert [ending.opened for ending in endings] == left_open(kept)
        assert {ending.outcome for ending in endings} <= {Outcome.INTERRUPTED}
        assert report.interrupted == len(endings)
        assert report.last_sequence == FIRST - 1 + whole + len(endings)
        again = recovery.recover(folder)
        assert (again.bytes_cut, again.interrupted, again.last_sequence) == (0, 0, report.last_sequence)


def whole_records_before(offset: int) -> int:
    return max(count for count, end in enumerate(ENDS) if end <= offset)


def test_a_torn_tail_is_cut_and_reported_wherever_it_is_torn() -> None:
    for length in range(len(SEGMENT) + 1):
        recover_from(SEGMENT[:length], whole_records_before(length))


def test_damage_is_cut_and_reported_wherever_it_is() -> None:
    for offset in range(len(SEGMENT)):
        damaged = bytearray(SEGMENT)
        damaged[offset] ^= 0x41
        recover_from(bytes(damaged), whole_records_before(offset))


@given(cut=st.integers(0, len(SEGMENT)), garbage=st.binary(max_size=60))
@thoroughness(max_examples=200, deadline=None)
def test_garbage_behind_whole_records_is_cut(cut: int, garbage: bytes) -> None:
    data = SEGMENT[:cut] + garbage
    recover_from(data, max(count for count, end in enumerate(ENDS) if data[:end] == SEGMENT[:end]))


@given(offset=st.integers(0, len(SEGMENT) - 1), flip=st.integers(1, 255), cut=st.integers(1, len(SEGMENT)))
@thoroughness(max_examples=200, deadline=None)
def test_damage_of_any_kind_loses_nothing_before_it(offset: int, flip: int, cut: int) -> None:
    damaged = bytearray(SEGMENT)
    damaged[offset] ^= flip
    recover_from(bytes(damaged[:cut]), whole_records_before(min(offset, cut)))


STEPS = ["metering.recovery.create_segment", "metering.recovery._cut_tail", "metering.segments.sync_folder"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_recovery_that_is_killed_and_repeated_interrupts_each_request_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, before: bool
) -> None:
    (tmp_path / f"{FIRST:020d}.journal").write_bytes(SEGMENT[:-3])

    class Killed(BaseException):
        pass

    module, _, name = step.rpartition(".")
    target = {"metering.recovery": recovery, "metering.segments": segments}[module]
    real = getattr(target, name)

    def killed(*arguments: object) -> None:
        if not before:
            real(*arguments)
        raise Killed

    monkeypatch.setattr(target, name, killed)
    with pytest.raises(Killed):
        recovery.recover(tmp_path)
    monkeypatch.undo()
    recovery.recover(tmp_path)
    endings = [record for record in read_all(tmp_path) if isinstance(record, Closed)]
    assert sorted(ending.opened.event_id for ending in endings) == sorted(
        opened.event_id for opened in (CARRIED, ENDED, OPEN)
    )


def test_a_journal_of_another_version_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / f"{1:020d}.journal"
    path.write_bytes(frame(1, b"\x91\xa1z"))
    with pytest.raises(RecordUnreadable):
        open_journal(tmp_path)
    assert path.read_bytes() == frame(1, b"\x91\xa1z")


def told_until_killed(folder: Path, after_steps: int) -> list[bytes]:
    """What a real writer said before it was killed, somewhere behind that many steps."""
    command = [sys.executable, "-m", "tests.metering.writer", str(folder)]
    with subprocess.Popen(command, cwd=settings.BASE_DIR, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        heard = writer.stdout.read(17 * after_steps)
        writer.kill()
        heard += writer.stdout.read()
    return [heard[at : at + 17] for at in range(0, len(heard), 17)]


@pytest.mark.parametrize("after_steps", [1, 2, 9, 333, 2_000])
def test_a_writer_killed_at_any_moment_loses_nothing_that_it_told(tmp_path: Path, after_steps: int) -> None:
    told = told_until_killed(tmp_path, after_steps)

    journal = open_journal(tmp_path)
    journal.close()
    endings = [record for record in read_all(tmp_path) if isinstance(record, Closed)]
    outcomes = {ending.opened.event_id: ending.outcome for ending in endings}
    assert len(outcomes) == len(endings)  # Each event ended once.
    closed = {step[1:] for step in told if step[:1] == b"c"}
    opened = {step[1:] for step in told if step[:1] == b"o"}
    assert opened
    assert {outcomes[event_id] for event_id in closed} <= {Outcome.COMPLETED}
    # What was told open and never closed is interrupted; only the very last step can have happened untold.
    assert opened <= outcomes.keys()
    assert len(outcomes.keys() - opened) <= 1
    assert sum(outcome == Outcome.COMPLETED for outcome in outcomes.values()) - len(closed) <= 1
    assert journal.recovered.interrupted >= len(opened - closed) - 1


def synced_by(deed: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The inodes of all files and folders that it syncs."""
    synced: set[int] = set()

    def sync(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)

    with monkeypatch.context() as patched:
        for name in ("fsync", "fdatasync"):
            patched.setattr(os, name, sync)
        deed()
    return synced


def test_what_a_killed_writer_left_is_on_the_disk_before_anything_follows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut after the restart would tear a segment that is not the newest, and nobody could mend it."""
    journal = open_journal(tmp_path / "living")
    journal.append_opened(samples.opened())
    killed = shutil.copytree(tmp_path / "living", tmp_path / "killed")
    journal.close()
    left = segments.segments(killed)[-1].path.stat().st_ino
    assert left in synced_by(lambda: recovery.recover(killed), monkeypatch)


def test_the_name_of_a_new_folder_is_on_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "journal" / "gateway-1"
    synced = synced_by(lambda: open_journal(folder).close(), monkeypatch)
    assert {tmp_path.stat().st_ino, folder.parent.stat().st_ino} <= synced
