"""The files of a journal's folder: its identity, its segments, and how a fresh segment comes to be."""

import os
import re
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from metering import records

ID_FILE = "id"
_SEGMENT_NAME = re.compile(r"(\d{20})\.journal")
_TEMPORARY_NAME = "next.tmp"


class Segment(NamedTuple):
    """One file of a journal; `first` is the sequence of its first record, also while it has none."""

    first: int
    path: Path


def segments(folder: Path) -> list[Segment]:
    """The journal's segments, oldest first. The last one is the newest, the only one that may still grow."""
    matches = ((path, _SEGMENT_NAME.fullmatch(path.name)) for path in folder.iterdir())
    return sorted(Segment(int(match[1]), path) for path, match in matches if match)


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
    path = folder / f"{first:020d}.journal"
    temporary.replace(path)
    sync_folder(folder)
    return Segment(first, path), last


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
