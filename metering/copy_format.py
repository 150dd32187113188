"""Postgres' binary COPY format, written by hand: bytes in, bytes out, no object a field. Pure.

A row is a count of fields (i16) and for each field its length (i32) and its value; NULL is a length of -1. All is
big-endian. https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
"""

import struct

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
TRAILER = struct.pack("!h", -1)
NULL = struct.pack("!i", -1)
TRUE = struct.pack("!i?", 1, True)
FALSE = struct.pack("!i?", 1, False)
EPOCH_US = 946_684_800_000_000  # 2000-01-01 UTC, from which timestamptz counts its microseconds.
JSONB_VERSION = 1

_LENGTH = struct.Struct("!i")
_INT2 = struct.Struct("!ih")
_INT8 = struct.Struct("!iq")
_JSONB = struct.Struct("!ib")
_CACHED_MAX = 100_000


def int2(value: int | None) -> bytes:
    return NULL if value is None else _INT2.pack(2, value)


def int8(value: int | None) -> bytes:
    return NULL if value is None else _INT8.pack(8, value)


def boolean(value: bool) -> bytes:
    return TRUE if value else FALSE


def text(value: str) -> bytes:
    data = value.encode()
    return _LENGTH.pack(len(data)) + data


def jsonb(value: bytes | None) -> bytes:
    return NULL if value is None else _JSONB.pack(len(value) + 1, JSONB_VERSION) + value


class Int8s(dict[int | None, bytes]):
    """Fields of type int8 by their value. Counts of tokens come again and again, and a look-up is cheap."""

    def __missing__(self, value: int | None) -> bytes:
        if len(self) >= _CACHED_MAX:
            self.clear()
        field = self[value] = int8(value)
        return field
