"""What `tokenworks journal check` finds, and what it must not take for trouble."""

from collections.abc import Callable
from pathlib import Path

import pytest

from metering import inspection, records
from metering.inspection import Inspected, NoJournal
from metering.records import Closed, Opened, Record
from metering.segments import NEXT, Segment, segments
from tests.metering import samples
from tests.metering.journals import open_journal

OPENED = [samples.opened(at_us=samples.NOON_US + at) for at in range(4)]


def segment(folder: Path, first: int, *records_in_it: Record) -> Segment:
    folder.mkdir(exist_ok=True)
    path = folder / f"{first:020d}.journal"
    frames = [records.frame(at, records.encode(record)) for at, record in enumerate(records_in_it, start=first)]
    path.write_bytes(b"".join(frames))
    return Segment(first, path)


def carried(*opened: Opened) -> Record:
    (payload,) = records.carry([records.encode(each) for each in opened])
    return records.decode(payload)


def ended(opened: Opened) -> Closed:
    return samples.closed(opened)


def said(inspected: Inspected) -> list[str]:
    return [problem.what for problem in inspected.problems]


def test_opened_is_closed_and_open_in_every_segment_and_over_all(tmp_path: Path) -> None:
    segment(tmp_path, 1, OPENED[0], OPENED[1], ended(OPENED[0]))
    segment(tmp_path, 4, carried(OPENED[1]), OPENED[2], ended(OPENED[1]))
    segment(tmp_path, 7, carried(OPENED[2]))
    found = inspection.check(tmp_path)
    assert said(found) == []
    assert (found.opened_before, found.opened, found.closed, len(found.open)) == (0, 3, 2, 1)
    assert (found.first, found.last, found.records, found.tail, found.in_use) == (1, 7, 7, "whole", False)


def test_of_segments_that_are_gone_only_what_was_open_is_known(tmp_path: Path) -> None:
    segment(tmp_path, 5, carried(*OPENED[:2]), ended(OPENED[0]), OPENED[2])
    found = inspection.check(tmp_path)
    assert said(found) == []
    assert (found.opened_before, found.opened, found.closed, len(found.open)) == (2, 1, 1, 2)


def test_interruptions_at_the_head_of_the_oldest_segment_were_opened_before(tmp_path: Path) -> None:
    segment(tmp_path, 5, records.interrupted(OPENED[0], samples.NOON_US), OPENED[1])
    found = inspection.check(tmp_path)
    assert said(found) == []
    assert (found.opened_before, found.opened, found.closed, len(found.open)) == (1, 1, 1, 1)


def test_older_versions_carried_by_opening_again(tmp_path: Path) -> None:
    segment(tmp_path, 1, OPENED[0], OPENED[1])
    segment(tmp_path, 3, OPENED[0], OPENED[1], ended(OPENED[1]))
    found = inspection.check(tmp_path)
    assert said(found) == []
    assert (found.opened, found.closed, len(found.open)) == (2, 1, 1)


def missing_segment(folder: Path) -> None:
    segments(folder)[1].path.unlink()


def missing_carry(folder: Path) -> None:
    segment(folder, 4, OPENED[2], ended(OPENED[2]), OPENED[3])


def carried_from_nowhere(folder: Path) -> None:
    segment(folder, 4, carried(OPENED[1], OPENED[3]), OPENED[2], ended(OPENED[2]))


def ended_twice(folder: Path) -> None:
    segment(folder, 7, carried(OPENED[1]), ended(OPENED[1]), ended(OPENED[1]))


def opened_twice(folder: Path) -> None:
    segment(folder, 7, carried(OPENED[1]), OPENED[3], OPENED[3])


def overlapping(folder: Path) -> None:
    segments(folder)[2].path.rename(folder / f"{6:020d}.journal")


def damaged(folder: Path) -> None:
    data = bytearray(segments(folder)[1].path.read_bytes())
    data[20] ^= 1
    segments(folder)[1].path.write_bytes(data)


def of_another_version(folder: Path) -> None:
    (folder / f"{4:020d}.journal").write_bytes(records.frame(4, b"\x91\xa1z"))


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (missing_segment, "records 4 to 6 are missing before it"),
        (missing_carry, "does not carry 1 requests that are open"),
        (carried_from_nowhere, "which is not open"),
        (ended_twice, "ends, and is not open"),
        (opened_twice, "is opened a second time"),
        (overlapping, "begins with record 6, although 6 came before it"),
        (damaged, "does not agree with its checksum at byte 0"),
        (of_another_version, "Read it with the version that wrote it"),
    ],
)
def test_what_is_wrong_is_named_with_its_segment_byte_and_remedy(
    tmp_path: Path, harm: Callable[[Path], None], what: str
) -> None:
    segment(tmp_path, 1, OPENED[0], OPENED[1], ended(OPENED[0]))
    segment(tmp_path, 4, carried(OPENED[1]), OPENED[2], ended(OPENED[2]))
    segment(tmp_path, 7, carried(OPENED[1]), OPENED[3])
    assert said(inspection.check(tmp_path)) == []
    harm(tmp_path)
    problem = inspection.check(tmp_path).problems[0]
    assert what in problem.what
    assert problem.segment in [each.path for each in segments(tmp_path)]
    assert 0 <= problem.byte <= problem.segment.stat().st_size
    assert problem.remedy


def test_a_torn_tail_is_named_and_the_next_start_heals_it(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.append_opened(samples.opened())
    journal.close()
    (newest,) = segments(tmp_path)
    size = newest.path.stat().st_size
    with newest.path.open("ab") as file:
        file.write(b"torn")
    (problem,) = inspection.check(tmp_path).problems
    assert (problem.segment, problem.byte) == (newest.path, size)
    assert "Start its gateway" in problem.remedy
    assert inspection.look(tmp_path).tail == "4 bytes torn"
    open_journal(tmp_path).close()
    assert said(inspection.check(tmp_path)) == []


def test_the_tail_of_a_journal_in_use_is_being_written(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.append_opened(samples.opened())
    with segments(tmp_path)[0].path.open("ab") as file:
        file.write(b"half a frame")
    found = inspection.check(tmp_path)
    assert (said(found), found.in_use, found.tail, found.opened) == ([], True, "being written", 1)
    journal.close()


def test_what_a_power_cut_left_unnumbered_is_named_and_the_next_start_puts_it_aside(tmp_path: Path) -> None:
    segment(tmp_path, 1, OPENED[0])
    (tmp_path / NEXT).write_bytes(records.frame(5, records.encode(OPENED[1])))
    (problem,) = inspection.check(tmp_path).problems[:1]
    assert problem.segment == tmp_path / NEXT
    assert "Start its gateway" in problem.remedy
    open_journal(tmp_path).close()
    assert said(inspection.check(tmp_path)) == []


def test_looking_reads_the_newest_segment_only(tmp_path: Path) -> None:
    older = segment(tmp_path, 1, OPENED[0])
    segment(tmp_path, 2, carried(OPENED[0]), OPENED[1])
    older.path.write_bytes(b"damaged")
    found = inspection.look(tmp_path)
    assert (found.problems, found.first, found.last, len(found.open), found.segments) == ([], 1, 3, 2, 2)


def test_a_folder_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoJournal, match="is no journal"):
        inspection.look(tmp_path)


def test_looking_whether_a_journal_is_in_use_keeps_no_writer_out(tmp_path: Path) -> None:
    open_journal(tmp_path).close()
    assert not inspection.in_use(tmp_path)
    journal = open_journal(tmp_path)
    assert inspection.in_use(tmp_path)
    journal.close()
