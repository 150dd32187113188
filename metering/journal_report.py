"""What `tokenworks journal` says: tables for people, JSON for their tools."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import msgspec

from metering.inspection import Inspected, NoJournal, SegmentDamaged, in_use, open_segment, read_records
from metering.record_lines import line
from metering.records import BadFrame, FrameIncomplete, RecordUnreadable
from metering.segments import NEXT, Segment, segment_of, written

COLUMNS = ("journal", "id", "files", "bytes", "first", "last", "records", "open", "tail", "writer")


def as_json(found: Iterable[Inspected]) -> Iterator[str]:
    for inspected in found:
        told = {
            "journal": inspected.folder.name,
            "folder": str(inspected.folder),
            "id": inspected.id,
            "in_use": inspected.in_use,
            "segments": inspected.segments,
            "bytes": inspected.size,
            "first": inspected.first,
            "last": inspected.last,
            "records": inspected.records,
            "open": len(inspected.open),
            "torn_bytes": inspected.torn_bytes,
            **({"read": _read(inspected)} if inspected.thorough else {}),
            "problems": [
                {"segment": str(each.segment), "byte": each.byte, "what": each.what, "remedy": each.remedy}
                for each in inspected.problems
            ],
        }
        yield msgspec.json.encode(told).decode()


def _read(inspected: Inspected) -> dict[str, int]:
    return {
        "opened_before": inspected.opened_before,
        "opened": inspected.opened,
        "closed": inspected.closed,
        "open": len(inspected.open),
    }


def as_text(found: list[Inspected]) -> Iterator[str]:
    """A table of the journals, and below it what was counted and what is wrong; at most 100 columns but for paths."""
    if not found:
        yield "There is no journal."
        return
    yield from _table([COLUMNS, *map(_row, found)])
    for inspected in found:
        if inspected.thorough and not inspected.problems:
            yield f"{inspected.folder.name}: {_balance(inspected)}"
        for problem in inspected.problems:
            yield f"{problem.segment}, byte {problem.byte}: {problem.what}."
            yield f"    {problem.remedy}"


def _row(inspected: Inspected) -> tuple[str, ...]:
    first, last = (inspected.first, inspected.last) if inspected.records else (None, None)
    cells = (inspected.segments, inspected.size, first, last, inspected.records, len(inspected.open))
    return (
        inspected.folder.name,
        (inspected.id or "-")[:8],
        *("-" if cell is None else str(cell) for cell in cells),
        inspected.tail,
        "running" if inspected.in_use else "none",
    )


def _balance(inspected: Inspected) -> str:
    before = f"open before {inspected.opened_before} + " if inspected.opened_before else ""
    return f"whole; {before}opened {inspected.opened} = closed {inspected.closed} + open {len(inspected.open)}"


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def segments_at(place: Path) -> list[Segment]:
    """A segment by its file, or all of a journal by its folder, oldest first. Raises NoJournal."""
    if place.is_dir():
        found = written(place)
    elif place.name == NEXT:
        found = [segment for segment in written(place.parent) if segment.path == place]
    else:
        found = [segment for segment in (segment_of(place),) if segment is not None and place.is_file()]
    if not found:
        raise NoJournal(f"{place} is no segment and no journal that has one.")
    return found


def lines(found: list[Segment], *, after: int, limit: int | None) -> Iterator[str]:
    """Records behind number `after`, each as a line of JSON. Raises SegmentDamaged where they end before the file does.

    The end of what is being written is no damage.
    """
    return islice(_lines(found, after), limit)


def _lines(found: list[Segment], after: int) -> Iterator[str]:
    for segment, newer in zip(found, [*found[1:], None], strict=True):
        if newer is not None and newer.first <= after + 1:
            continue
        file = open_segment(segment)
        if file is None:
            continue  # It was shipped and deleted just now.
        with file:
            try:
                for frame, record in read_records(segment, file):
                    if frame.sequence > after:
                        yield line(frame.sequence, record)
            except (BadFrame, RecordUnreadable) as problem:
                if not (newer is None and isinstance(problem, FrameIncomplete) and in_use(segment.path.parent)):
                    raise SegmentDamaged(f"{segment.path}: {problem}. `tokenworks journal check` says more.") from None
