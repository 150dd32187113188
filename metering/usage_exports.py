"""The files that usage is exported as."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from metering import focus
from metering.dimensions import DIMENSIONS, TIMES
from metering.exports import WRITERS, Column, Row
from metering.totals import Question, UsageTotal, usage_rows
from metering.usage import Unit

KINDS = {"text": "text", "bigint": "count", "boolean": "flag", "date": "date", "timestamptz": "instant"}
TOTALS = ("requests", "input_tokens", "output_tokens")


class NotAPeriod(ValueError):
    """FOCUS has dimensions of its own, besides the length of its charge periods."""


@dataclass(frozen=True)
class FileKind:
    """What a file of usage is called and written as."""

    content_type: str
    ending: str
    writer: str
    is_focus: bool = False


KINDS_OF_FILES = {
    "csv": FileKind("text/csv; charset=utf-8", "csv", "csv"),
    "parquet": FileKind("application/vnd.apache.parquet", "parquet", "parquet"),
    "focus": FileKind("text/csv; charset=utf-8", "focus.csv", "csv", is_focus=True),
    "focus-parquet": FileKind("application/vnd.apache.parquet", "focus.parquet", "parquet", is_focus=True),
}


def chunks(question: Question, kind: FileKind) -> Generator[bytes, None, None]:
    """The file, piece by piece. FOCUS takes one time in group_by, else days; raises NotAPeriod."""
    columns, rows = _focus(question) if kind.is_focus else _usage(question)
    return WRITERS[kind.writer](columns, rows)


def _usage(question: Question) -> tuple[list[Column], Iterator[Row]]:
    dimensions = [Column(name, KINDS[DIMENSIONS[name].kind]) for name in question.group_by]
    counts = [Column(name, "count") for name in (*TOTALS, *Unit)]
    return [*dimensions, *counts], map(_row, usage_rows(question))


def _row(total: UsageTotal) -> Row:
    sums = [getattr(total, name) for name in TOTALS]
    return [*total.group.values(), *sums, *(total.units.get(unit) for unit in Unit)]


def _focus(question: Question) -> tuple[list[Column], Iterator[Row]]:
    periods = tuple(question.group_by) or ("day",)
    if len(periods) > 1 or periods[0] not in TIMES:
        raise NotAPeriod(f"FOCUS has dimensions of its own: give one of {', '.join(TIMES)}, or nothing.")
    return list(focus.COLUMNS), focus.rows(question, periods[0])
