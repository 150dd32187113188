"""A month of events as a Parquet file: written from the database, read again, and summed up on both sides.

Rows go through COPY as CSV and are parsed by Arrow, so that no row becomes Python objects. What is in memory at once is
one row group, limited in rows and in bytes. No column is a float: counts are 64-bit integers, times are microseconds
of UTC.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.db import connection, models
from pyarrow import csv

from metering.models import Event
from metering.usage import REPORTED_UNITS

GROUP_ROWS = 32_768
GROUP_BYTES = 16 << 20
BLOCK_BYTES = 1 << 17  # Longer than any event, whose longest part is the upstream's words of at most 16 KiB.
TYPES: "dict[type[models.Field[Any, Any]], pa.DataType]" = {
    models.UUIDField: pa.string(),
    models.DateTimeField: pa.timestamp("us", tz="UTC"),
    models.BigIntegerField: pa.int64(),
    models.SmallIntegerField: pa.int16(),
    models.BooleanField: pa.bool_(),
    models.TextField: pa.string(),
    models.JSONField: pa.string(),
}
# Taken from the table, so that a column that is added to it cannot be forgotten here.
FIELDS = [field for field in Event._meta.local_concrete_fields if not isinstance(field, models.CompositePrimaryKey)]
SCHEMA = pa.schema([pa.field(field.column, TYPES[type(field)], nullable=field.null) for field in FIELDS])
COUNT = pa.decimal128(38, 0)  # A sum of 64-bit integers may need more than 64 bits.

# By tenant and sign: how many rows, then for each unit how many rows tell it and how much it is.
Figures = dict[tuple[int, int], list[int]]


class NotAnArchive(Exception):
    """The file is not a Parquet file of events."""


def spare_memory() -> None:
    """Let Arrow have one thread of each kind: it keeps memory for every one that it has."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def write(table: str, path: Path) -> None:
    """Write all rows of this partition to a new file, as one statement sees them."""
    columns = ", ".join(_as_csv(field) for field in FIELDS)
    with (
        pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer,
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.copy(f"COPY (SELECT {columns} FROM {table}) TO STDOUT (FORMAT CSV)") as copy,  # noqa: S608 - ours
    ):
        for group in _groups(Pipe(iter(copy))):
            writer.write_table(group, row_group_size=GROUP_ROWS)


def figures_of_file(path: Path) -> Figures:
    """What the file holds. Raises NotAnArchive where it is something else, or a part of one."""
    figures: Figures = {}
    try:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(SCHEMA):
                raise NotAnArchive(f"{path} has other columns than the table of events.")
            for batch in file.iter_batches(GROUP_ROWS, columns=["tenant_id", "sign", *REPORTED_UNITS]):
                _add(figures, pa.Table.from_batches([batch]))
    except pa.ArrowException as problem:
        raise NotAnArchive(f"{path} cannot be read: {problem}") from problem
    return figures


def figures_of_table(table: str) -> Figures:
    """What the partition holds."""
    units = ", ".join(f"count({unit}), coalesce(sum({unit}), 0)" for unit in REPORTED_UNITS)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT tenant_id, sign, count(*), {units} FROM {table} GROUP BY 1, 2")  # noqa: S608 - ours
        return {(tenant, sign): [int(figure) for figure in figures] for tenant, sign, *figures in cursor.fetchall()}


def digest(path: Path) -> bytes:
    """SHA-256 of the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def rows_of(figures: Figures) -> int:
    return sum(rows for rows, *_ in figures.values())


class Pipe:
    """What COPY sends, as a file that can be read once."""

    closed = False

    def __init__(self, chunks: Iterator[Any]) -> None:
        self._chunks = chunks
        self._waiting = bytearray()

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._waiting) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._waiting += chunk
        given = bytes(self._waiting if size < 0 else self._waiting[:size])
        del self._waiting[: len(given)]
        return given

    def __bool__(self) -> bool:
        """Whether there is anything left to read."""
        self._waiting[:0] = self.read(1)
        return bool(self._waiting)

    def close(self) -> None:
        self.closed = True


def _groups(pipe: Pipe) -> Iterator[pa.Table]:
    """The rows as tables of at most GROUP_ROWS, each a row group of the file."""
    if not pipe:
        return
    parsed = csv.open_csv(
        pipe,
        csv.ReadOptions(column_names=SCHEMA.names, block_size=BLOCK_BYTES, use_threads=False),
        csv.ParseOptions(newlines_in_values=True),
        # An empty text stands in quotation marks, a null does not.
        csv.ConvertOptions(
            column_types={field.name: _parsed_type(field.type) for field in SCHEMA},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
    waiting: list[pa.RecordBatch] = []
    for batch in parsed:
        waiting.append(batch)
        table = pa.Table.from_batches(waiting)
        if table.num_rows >= GROUP_ROWS or table.nbytes >= GROUP_BYTES:
            whole = table.num_rows - table.num_rows % GROUP_ROWS or table.num_rows
            yield table.slice(0, whole).cast(SCHEMA)
            waiting = table.slice(whole).to_batches()
    if waiting:
        yield pa.Table.from_batches(waiting).cast(SCHEMA)


def _parsed_type(wanted: pa.DataType) -> pa.DataType:
    return pa.int64() if pa.types.is_timestamp(wanted) else wanted


def _as_csv(field: "models.Field[Any, Any]") -> str:
    if isinstance(field, models.DateTimeField):
        return f"(extract(epoch FROM {field.column}) * 1000000)::bigint"
    return str(field.column)


def _add(figures: Figures, rows: pa.Table) -> None:
    counts = [rows[unit].cast(COUNT) for unit in REPORTED_UNITS]
    table = pa.table([rows["tenant_id"], rows["sign"], *counts], names=["tenant_id", "sign", *REPORTED_UNITS])
    wanted: list[Any] = [([], "count_all")]
    for unit in REPORTED_UNITS:
        wanted += [(unit, "count"), (unit, "sum")]
    names = ["count_all", *(f"{unit}_{what}" for unit in REPORTED_UNITS for what in ("count", "sum"))]
    for found in table.group_by(["tenant_id", "sign"]).aggregate(wanted).to_pylist():
        so_far = figures.setdefault((found["tenant_id"], found["sign"]), [0] * len(names))
        for place, name in enumerate(names):
            so_far[place] += int(found[name] or 0)
