"""Tables as CSV and Parquet, streamed: what is in memory at once is a few thousand rows, whatever is exported."""

import csv
import io
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any

ROWS_AT_ONCE = 2_000
GROUP_ROWS = 20_000


@dataclass(frozen=True)
class Column:
    """`kind` is text, count (a 64-bit integer), amount (a decimal), flag, date or instant. Any value may be None."""

    name: str
    kind: str


Row = Sequence[Any]
Writer = Callable[[Sequence[Column], Iterable[Row]], Generator[bytes, None, None]]


def as_csv(columns: Sequence[Column], rows: Iterable[Row]) -> Generator[bytes, None, None]:
    """RFC 4180, in UTF-8, with a head. What is not known is empty.

    A text that a spreadsheet would run as a formula gets an apostrophe in front: others may choose these texts.
    """
    head = _lines([[column.name for column in columns]])
    for part in _parts(rows, ROWS_AT_ONCE):
        yield head + _lines([[_cell(value) for value in row] for row in part])
        head = b""
    if head:
        yield head


def as_parquet(columns: Sequence[Column], rows: Iterable[Row]) -> Generator[bytes, None, None]:
    """zstd, in row groups of GROUP_ROWS; counts are 64-bit integers, amounts decimals, instants microseconds of UTC."""
    import pyarrow as pa  # It takes memory that an office without such exports does not need.
    import pyarrow.parquet as pq

    kinds = {
        "text": pa.string(),
        "count": pa.int64(),
        "amount": pa.decimal128(38, 12),
        "flag": pa.bool_(),
        "date": pa.date32(),
        "instant": pa.timestamp("us", tz="UTC"),
    }
    schema = pa.schema([pa.field(column.name, kinds[column.kind]) for column in columns])
    written = io.BytesIO()
    with pq.ParquetWriter(_Growing(written), schema, compression="zstd") as writer:
        for part in _parts(rows, GROUP_ROWS):
            values = zip(*part, strict=True)
            arrays = [pa.array(list(of), field.type) for of, field in zip(values, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            yield _taken(written)
    yield _taken(written)


WRITERS: dict[str, Writer] = {"csv": as_csv, "parquet": as_parquet}


class _Growing(io.RawIOBase):
    """A file whose beginning is given away while it is written, so that only its length counts as its place."""

    def __init__(self, kept: io.BytesIO) -> None:
        self._kept = kept
        self._length = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._length

    def write(self, data: Any) -> int:
        written = self._kept.write(data)
        self._length += written
        return written


def _taken(written: io.BytesIO) -> bytes:
    chunk = written.getvalue()
    written.seek(0)
    written.truncate()
    return chunk


def _parts(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while part := list(islice(remaining, size)):
        yield part


def _lines(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
