"""The files of a journal's folder: its identity, its segments, and how a fresh segment comes to be.

A segment is named by the sequence of its first record. The one that a writer is about to go on in is NEXT: it gets
its number when it and the segment before it are on the disk. So a segment that has a number is whole but for the
newest one's end, and all that a power cut can tear is there or in NEXT.
"""

import os
import re
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from metering import records

ID_FILE = "id"
NEXT = "next.journal"
_SEGMENT_NAME = re.compile(r"(\d{20})\.journal")
_TEMPORARY_NAME = "next.tmp"


class Segment(NamedTuple):
    """One file of a journal; `first` is the sequence of its first record, also while it has none."""

    first: int
    path: Path


def segments(folder: Path) -> list[Segment]:
    """The journal's numbered segments, oldest first. Only the last one, the newest, may still grow or be torn."""
    return sorted(segment for path in folder.iterdir() if (segment := segment_of(path)) is not None)


def segment_of(path: Path) -> Segment | None:
    """The segment that a file is by its name; None where it is none."""
    match = _SEGMENT_NAME.fullmatch(path.name)
    return Segment(int(match[1]), path) if match else None


def written(folder: Path) -> list[Segment]:
    """All that a writer which runs has appended to: the numbered segments and, behind them, NEXT if it has records.

    For those who do not mind what a power cut may take. NEXT may get its number before it is opened.
    """
    begun = _begun(folder)
    found = segments(folder)
    if begun is not None and (not found or found[-1].first < begun.first):
        found.append(begun)
    return found


def _begun(folder: Path) -> Segment | None:
    path = folder / NEXT
    try:
        with path.open("rb") as file:
            head = file.read(records.HEADER.size)
    except FileNotFoundError:
        return None
    if len(head) < records.HEADER.size:
        return None
    _, _, first = records.HEADER.unpack(head)
    return Segment(first, path)


def create_segment(folder: Path, first: int, payloads: Iterable[bytes]) -> tuple[Segment, int]:
    """Write a segment that begins with `payloads`, durable before it has its name; return it and its last sequence.

    A crash leaves either no new segment or a whole one. An older segment of the same name held no record.
    """
    temporary = folder / _TEMPORARY_NAME
    last = first - 1
    with temporary.open("wb") as file:
        for last, payload in enumerate(payloads, start=first):
            file.write(records.frame(last, payload))
        file.flush()
        os.fsync(file.fileno())
    path = _path(folder, first)
    temporary.replace(path)
    sync_folder(folder)
    return Segment(first, path), last


def create_next(folder: Path) -> int:
    """Make an empty NEXT whose name is durable; return a descriptor that appends to it."""
    descriptor = os.open(folder / NEXT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        sync_folder(folder)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def number_next(folder: Path, first: int) -> Segment:
    """Give NEXT its number. Only once it and the segment before it are on the disk; a repetition does no harm."""
    path = _path(folder, first)
    if not path.exists():
        (folder / NEXT).replace(path)
    sync_folder(folder)
    return Segment(first, path)


def journal_id(folder: Path) -> uuid.UUID | None:
    """The journal's identity, or None where no writer has opened it yet.

    It is random and kept in the folder, so a wiped folder is another journal, which begins with 1 again.
    """
    try:
        return uuid.UUID((folder / ID_FILE).read_text().strip())
    except FileNotFoundError:
        return None


def ensure_journal_id(folder: Path) -> uuid.UUID:
    known = journal_id(folder)
    if known is not None:
        return known
    fresh = uuid.uuid4()
    temporary = folder / _TEMPORARY_NAME
    with temporary.open("w") as file:
        file.write(fresh.hex + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / ID_FILE)
    sync_folder(folder)
    return fresh


def sync_folder(folder: Path) -> None:
    """Make names in the folder durable: without this a power cut may forget a file that was itself synced."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _path(folder: Path, first: int) -> Path:
    return folder / f"{first:020d}.journal"
