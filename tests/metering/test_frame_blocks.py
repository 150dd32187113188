"""The shipper's fast reading of frames against the plain one, and its rows against what Postgres says."""

import io
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering import event_rows, frame_blocks, records
from metering.records import BadFrame, Closed, Opened, RecordUnreadable
from metering.usage import REPORTED_UNITS, Usage
from tests.metering import samples

FIRST = 41


def plainly(data: bytes) -> tuple[list[records.Frame], BadFrame | None]:
    frames = []
    try:
        for frame in records.read_frames(io.BytesIO(data), offset=0, end=len(data), first=FIRST):
            frames.append(frame)  # noqa: PERF402 - what came before a problem counts
    except BadFrame as problem:
        return frames, problem
    return frames, None


def segment(endings: list[bool]) -> bytes:
    payloads = [records.encode(samples.closed() if ends else samples.opened()) for ends in endings]
    return b"".join(records.frame(FIRST + number, payload) for number, payload in enumerate(payloads))


@given(st.lists(st.booleans(), max_size=6), st.integers(0, 3_000), st.integers(0, 3_000), st.integers(1, 255))
def test_a_block_holds_what_plain_reading_finds_also_where_it_is_cut_or_damaged(
    endings: list[bool], cut: int, damaged: int, flip: int
) -> None:
    data = bytearray(segment(endings)[: max(cut, 1)])
    if damaged < len(data):
        data[damaged] ^= flip
    frames, problem = plainly(bytes(data))
    block = frame_blocks.scan(bytes(data), offset=0, first=FIRST, records_max=100)
    decoded = [records.decode(frame.payload) for frame in frames]
    assert block.records == len(frames)
    assert block.opened == sum(isinstance(record, Opened) for record in decoded)
    assert [records.decode(payload) for payload in block.endings] == [each for each in decoded if type(each) is Closed]
    assert block.size == (frames[-1].end if frames else 0)
    assert block.last_checksum == (frames[-1].checksum if frames else 0)
    assert (type(block.problem), str(block.problem)) == (type(problem), str(problem))


def test_a_block_ends_where_enough_records_were_read() -> None:
    block = frame_blocks.scan(segment([False, True, True]), offset=0, first=FIRST, records_max=2)
    assert (block.records, block.opened, len(block.endings), block.problem) == (2, 1, 1, None)


def test_a_record_with_more_fields_than_the_short_form_of_msgpack_holds_is_known_too() -> None:
    payload = records.encode(samples.opened())
    longer = b"\xdc" + (16).to_bytes(2) + payload[1:] + b"\xc0" * (16 - (payload[0] & 0x0F))
    block = frame_blocks.scan(records.frame(FIRST, longer), offset=0, first=FIRST, records_max=1)
    assert (block.records, block.opened) == (1, 1)


def test_a_record_of_another_kind_is_refused() -> None:
    with pytest.raises(RecordUnreadable):
        frame_blocks.scan(records.frame(FIRST, b"\x91\xa1z"), offset=0, first=FIRST, records_max=1)


def altered(**named: Any) -> bytes:
    """An ending that says what ours never would."""
    return msgspec.msgpack.encode(
        ["c", *msgspec.structs.asdict(msgspec.structs.replace(samples.closed(), **named)).values()]
    )


@pytest.mark.parametrize(
    "payload",
    [
        altered(usage=[-1]),
        altered(usage=[1.5]),
        altered(usage=[2**63]),
        altered(usage=[None] * (len(REPORTED_UNITS) + 1)),
        altered(upstream_status=40_000),
        altered(closed_at_us=2**64 - 1),
        altered(opened=samples.opened(event_id=b"short")),
        altered(opened=samples.opened(tenant_id=2**63)),
        altered(opened=samples.opened(at_us=-(2**62), event_id=bytes(16))),
        b"\x91\xa1c",
    ],
    ids=["negative", "fraction", "overflow", "unknown unit", "status", "end", "id", "tenant", "time", "cut"],
)
def test_an_ending_that_no_row_can_hold_is_refused_by_name(payload: bytes) -> None:
    with pytest.raises(RecordUnreadable, match="version that wrote it"):
        event_rows.EventRows(1).encode([payload])


def test_units_that_an_older_version_did_not_know_were_not_reported() -> None:
    of = samples.opened()
    short = altered(opened=of, usage=[7, None, None, None, 3])
    whole = altered(opened=of, usage=msgspec.structs.astuple(Usage(input_uncached=7, output=3)))
    assert event_rows.EventRows(1).encode([short]) == event_rows.EventRows(1).encode([whole])


def test_what_is_cached_of_one_event_is_not_taken_for_another() -> None:
    """The same texts, but a flag that equals a number: each row must be as if it were made alone."""
    endings = [
        records.encode(samples.closed(samples.opened(tenant_id=tenant, streamed=streamed), usage=Usage(output=count)))
        for tenant, streamed, count in [(1, True, 0), (1, False, 1), (0, True, 2), (1, True, 1)]
    ]
    alone = b"".join(event_rows.EventRows(9).encode([ending]) for ending in endings)
    assert event_rows.EventRows(9).encode(endings) == alone
