"""Reads a trace of LLM requests in the format of the public Azure LLM inference trace 2023.

    TIMESTAMP,ContextTokens,GeneratedTokens
    2023-11-16 18:17:03.9799600,4808,10

Every row is read and checked before the first is used, so that a mistake at the end of a file does not leave half a
replay behind.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

COLUMNS = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]
ROWS_MAX = 1_000_000
TOKENS_MAX = 2_000_000  # In one request, of a kind. No model takes more.

_TIMESTAMP = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,7}))?\Z")
_COUNT = re.compile(r"[0-9]{1,9}\Z")


class MalformedRow(Exception):
    """A line of the trace is not what it must be."""

    def __init__(self, line: int, problem: str) -> None:
        self.line = line
        super().__init__(f"Line {line}: {problem}")


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One request of the trace. `number` counts rows from 1; `at_us` is in microseconds since the epoch."""

    number: int
    at_us: int
    input_tokens: int
    output_tokens: int


def parse(lines: Iterable[str], *, rows_max: int = ROWS_MAX) -> list[TraceRow]:
    """All rows of a trace. Raises `MalformedRow` for the first line that is wrong, and where there is no row."""
    reader = csv.reader(lines, strict=True)
    try:
        rows = list(_rows(reader, rows_max))
    except csv.Error as problem:
        raise MalformedRow(reader.line_num, f"is no CSV: {problem}.") from None
    if not rows:
        raise MalformedRow(reader.line_num, "the trace ends without a row.")
    return rows


def prompt(tokens: int) -> str:
    """A prompt of so many words: a word is a token to the simulated worker."""
    return "word " * tokens


def _rows(reader: Iterator[list[str]], rows_max: int) -> Iterator[TraceRow]:
    if (header := next(reader, None)) != COLUMNS:
        raise MalformedRow(1, f"the header is {header!r} and must be {','.join(COLUMNS)}.")
    for number, fields in enumerate(reader, start=1):
        line = number + 1
        if number > rows_max:
            raise MalformedRow(line, f"a trace has at most {rows_max:,} rows. Split the file.")
        if len(fields) != len(COLUMNS):
            raise MalformedRow(line, f"has {len(fields)} fields and must have {len(COLUMNS)}.")
        at, given, made = fields
        yield TraceRow(
            number, _timestamp_us(line, at), _tokens(line, COLUMNS[1], given), _tokens(line, COLUMNS[2], made)
        )


def _timestamp_us(line: int, text: str) -> int:
    """Microseconds since the epoch; the trace gives tenths of them, of which the last digit is dropped."""
    found = _TIMESTAMP.match(text)
    if not found:
        raise MalformedRow(line, f"TIMESTAMP is {text!r} and must look like 2023-11-16 18:17:03.9799600.")
    try:
        second = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    except ValueError as problem:
        raise MalformedRow(line, f"TIMESTAMP is {text!r}: {problem}.") from None
    return int(second.timestamp()) * 1_000_000 + int((found[2] or "").ljust(6, "0")[:6])


def _tokens(line: int, column: str, text: str) -> int:
    if not _COUNT.match(text) or not 1 <= int(text) <= TOKENS_MAX:
        raise MalformedRow(line, f"{column} is {text!r} and must be a whole number from 1 to {TOKENS_MAX:,}.")
    return int(text)
