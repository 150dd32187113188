"""What a journal says, record by record, and how a record lies in a file. Pure.

A frame is little-endian: length of the payload (u32), CRC-32 over length, sequence and payload (u32), sequence
(u64), payload (msgpack). The sequence counts a journal's records from 1, without gaps, across its segments.

**Counting requests.** Each request has one Opened and later one Closed. A segment that a writer goes on in begins with
Carried records of all that is open there, which open nothing anew. So in any stretch of a journal the requests opened
are its Opened records, those ended are its Closed records, and from the first record on, always:

    opened = closed + open

Before there was Carried, Opened stood in its place. Such a journal is read as before, and an Opened whose id is open
already opens nothing; whoever counts without knowing what is open counts those requests once more for each segment.
"""

import struct
import zlib
from collections.abc import Collection, Iterator
from itertools import islice
from typing import BinaryIO, NamedTuple

import msgspec

from metering.usage import Outcome, ServiceTier, Usage, UsageSource

HEADER = struct.Struct("<IIQ")
_COVERED = struct.Struct("<IQ")
_CARRIED_HEAD = struct.Struct(">BBBBH")
UPSTREAM_USAGE_BYTES_MAX = 16 * 1024
PAYLOAD_BYTES_MAX = 64 * 1024
CARRIED_MAX = 2**16 - 1
RECORD_BYTES_MAX = PAYLOAD_BYTES_MAX - _CARRIED_HEAD.size  # So that any of them can be carried.


class RecordTooLarge(ValueError):
    """A journal record is larger than RECORD_BYTES_MAX."""


class RecordUnreadable(Exception):
    """A whole, undamaged record is not one that this version knows: another version wrote it."""


class BadFrame(Exception):
    """Where whole frames end, although the file goes on. `offset` is where the bad one begins, in bytes."""

    def __init__(self, offset: int, why: str) -> None:
        self.offset = offset
        super().__init__(f"{why} at byte {offset}")


class FrameIncomplete(BadFrame):
    """The file ends within a frame: torn by a crash, or still being written."""


class FrameCorrupt(BadFrame):
    """The bytes are there and do not agree with their checksum or sequence."""


class Opened(msgspec.Struct, tag="o", array_like=True, frozen=True):
    """A request is about to leave for its upstream. Times are microseconds since the epoch, UTC."""

    event_id: bytes  # 16 bytes, a UUIDv7 whose time is opened_at_us.
    opened_at_us: int
    tenant_id: int
    project_id: int
    api_key_id: int
    offering: str
    deployment: str
    streamed: bool
    service_tier: str = ServiceTier.STANDARD  # From here on absent in older journals.


class Closed(msgspec.Struct, tag="c", array_like=True, frozen=True):
    """A request has ended. It holds all that its event row needs, so it can be shipped without its Opened."""

    opened: Opened
    closed_at_us: int
    first_byte_at_us: int | None
    outcome: str
    usage_source: str
    billed: bool
    usage: Usage
    upstream_status: int | None
    upstream_usage: bytes | None  # The upstream's own words, verbatim JSON, at most UPSTREAM_USAGE_BYTES_MAX.
    grade: str = ""  # That the answer got, which may be lower than the one asked for; empty: not certified.


class Carried(msgspec.Struct, tag="k", array_like=True, frozen=True):
    """Requests that were opened in older segments and are still open where this one begins."""

    opened: tuple[Opened, ...]


Record = Opened | Closed | Carried

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


class Frame(NamedTuple):
    """One whole record of a segment; `end` is the byte offset behind it."""

    sequence: int
    checksum: int
    payload: bytes
    end: int


def interrupted(opened: Opened, closed_at_us: int) -> Closed:
    """How a request ends that our own crash or disk cut: its use is unknown, and it is not billed."""
    return Closed(
        opened=opened,
        closed_at_us=max(closed_at_us, opened.opened_at_us),
        first_byte_at_us=None,
        outcome=Outcome.INTERRUPTED,
        usage_source=UsageSource.NONE,
        billed=False,
        usage=Usage(),
        upstream_status=None,
        upstream_usage=None,
    )


def encode(record: Record) -> bytes:
    payload = _encoder.encode(record)
    if len(payload) > RECORD_BYTES_MAX:
        raise RecordTooLarge(f"A record of {len(payload)} bytes is over {RECORD_BYTES_MAX}. Bound its texts.")
    return payload


def carry(payloads: Collection[bytes]) -> Iterator[bytes]:
    """Payloads of Carried records that hold these encoded Opened ones, within PAYLOAD_BYTES_MAX each.

    They are put together as they are, as many to a record as go in of the longest one: encoding, or only measuring,
    thousands one by one would hold up the event loop.
    """
    if not payloads:
        return
    together = min((PAYLOAD_BYTES_MAX - _CARRIED_HEAD.size) // max(map(len, payloads)), CARRIED_MAX)
    remaining = iter(payloads)
    while gathered := list(islice(remaining, together)):
        yield _carried(gathered)


def _carried(payloads: list[bytes]) -> bytes:
    """Msgpack of ["k", [...]], with 16 bits for how many."""
    return b"".join((_CARRIED_HEAD.pack(0x92, 0xA1, ord("k"), 0xDC, len(payloads)), *payloads))


def decode(payload: bytes) -> Record:
    try:
        return _decoder.decode(payload)
    except msgspec.MsgspecError as problem:
        raise RecordUnreadable(f"{problem}. Read it with the version that wrote it.") from problem


def frame(sequence: int, payload: bytes) -> bytes:
    length = len(payload)
    return HEADER.pack(length, _checksum(length, sequence, payload), sequence) + payload


def read_frames(file: BinaryIO, *, offset: int, end: int, first: int) -> Iterator[Frame]:
    """Whole frames from `offset`, which must be the start of frame number `first`, up to byte `end` of the file.

    Raises FrameIncomplete or FrameCorrupt where the frames end before `end` does.
    """
    file.seek(offset)
    sequence = first
    while offset < end:
        header = file.read(min(HEADER.size, end - offset))
        if len(header) < HEADER.size:
            raise FrameIncomplete(offset, "A frame's header is incomplete")
        length, checksum, stated = HEADER.unpack(header)
        if stated != sequence or not 0 < length <= PAYLOAD_BYTES_MAX:
            raise FrameCorrupt(offset, f"A frame says sequence {stated} and length {length}, not sequence {sequence},")
        frame_end = offset + HEADER.size + length
        payload = file.read(length) if frame_end <= end else b""
        if len(payload) < length:
            raise FrameIncomplete(offset, "A frame is incomplete")
        if checksum != _checksum(length, stated, payload):
            raise FrameCorrupt(offset, "A frame does not agree with its checksum")
        yield Frame(sequence, checksum, payload, frame_end)
        offset = frame_end
        sequence += 1


def _checksum(length: int, sequence: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_COVERED.pack(length, sequence)))
