"""Traces for the stories, and what a client's log of a replay says, read without the product's code."""

import csv
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any


def write(path: Path, rows: int, *, apart_ms: int) -> Path:
    """A trace in the public format, of varied sizes, with one request every `apart_ms`."""
    begin = datetime(2023, 11, 16, 18, 0, tzinfo=UTC)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["TIMESTAMP", "ContextTokens", "GeneratedTokens"])
        for i in range(rows):
            at = begin + timedelta(milliseconds=i * apart_ms)
            writer.writerow([f"{at:%Y-%m-%d %H:%M:%S.%f}0", 3 + i * 7919 % 2999, 1 + i * 104_729 % 61])
    return path


@dataclass(frozen=True)
class Totals:
    """Requests and tokens, from wherever they were summed."""

    requests: int
    input: int
    output: int


def totals_of(path: Path) -> Totals:
    """What the rows of a trace add up to."""
    with path.open(newline="") as file:
        rows = [(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in csv.DictReader(file)]
    return Totals(len(rows), sum(row[0] for row in rows), sum(row[1] for row in rows))


def log_of(path: Path) -> list[dict[str, Any]]:
    """The client's log: one JSON line a request."""
    return [json.loads(line) for line in path.read_text().splitlines()]
