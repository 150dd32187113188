import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering import records
from metering.records import (
    Carried,
    Closed,
    Frame,
    FrameCorrupt,
    FrameIncomplete,
    Opened,
    RecordTooLarge,
    RecordUnreadable,
)
from metering.usage import COUNT_MAX, Usage
from tests.metering import samples

counts = st.none() | st.integers(0, COUNT_MAX)
openings = st.builds(
    Opened,
    event_id=st.binary(min_size=16, max_size=16),
    opened_at_us=st.integers(0, 2**53),
    tenant_id=st.integers(1, COUNT_MAX),
    project_id=st.integers(1, COUNT_MAX),
    api_key_id=st.integers(1, COUNT_MAX),
    offering=st.text(max_size=20),
    deployment=st.text(max_size=20),
    streamed=st.booleans(),
)
endings = st.builds(
    Closed,
    opened=openings,
    closed_at_us=st.integers(0, 2**53),
    first_byte_at_us=st.none() | st.integers(0, 2**53),
    outcome=st.text(max_size=20),
    usage_source=st.text(max_size=20),
    billed=st.booleans(),
    usage=st.builds(Usage, counts, counts, counts, counts, counts, counts),
    upstream_status=st.none() | st.integers(100, 599),
    upstream_usage=st.none() | st.binary(max_size=50),
)


@given(openings | endings)
@settings(deadline=None)
def test_a_record_comes_back_as_it_was_written(record: records.Record) -> None:
    assert records.decode(records.encode(record)) == record


def test_a_record_over_the_limit_is_refused() -> None:
    with pytest.raises(RecordTooLarge, match="over 65530"):
        records.encode(samples.closed(upstream_usage=b"x" * records.PAYLOAD_BYTES_MAX))


def test_a_record_of_another_version_is_not_taken_for_damage() -> None:
    with pytest.raises(RecordUnreadable, match="version that wrote it"):
        records.decode(b"\x91\xa1z")


def frames_of(data: bytes, *, first: int = 1) -> list[Frame]:
    return list(records.read_frames(io.BytesIO(data), offset=0, end=len(data), first=first))


def test_frames_are_read_one_after_the_other() -> None:
    data = records.frame(7, b"one") + records.frame(8, b"two")
    assert [(frame.sequence, frame.payload) for frame in frames_of(data, first=7)] == [(7, b"one"), (8, b"two")]


def test_a_frame_out_of_sequence_is_corrupt() -> None:
    with pytest.raises(FrameCorrupt, match="sequence 3"):
        frames_of(records.frame(1, b"one") + records.frame(3, b"three"))


def test_zeros_that_a_power_cut_leaves_are_corrupt() -> None:
    with pytest.raises(FrameCorrupt, match="at byte 0"):
        frames_of(bytes(64))


@given(st.integers(1, 18))
@settings(deadline=None)
def test_a_cut_frame_is_incomplete(bytes_kept: int) -> None:
    with pytest.raises(FrameIncomplete):
        frames_of(records.frame(1, b"one")[:bytes_kept])


def test_nothing_is_read_beyond_the_given_end() -> None:
    whole = records.frame(1, b"one")
    data = io.BytesIO(whole + records.frame(2, b"two"))
    assert [frame.sequence for frame in records.read_frames(data, offset=0, end=len(whole), first=1)] == [1]


@given(st.lists(openings, max_size=5))
@settings(deadline=None)
def test_what_is_carried_comes_back_as_it_was_opened(opened: list[Opened]) -> None:
    carried = [records.decode(payload) for payload in records.carry([records.encode(each) for each in opened])]
    assert carried == ([Carried(tuple(opened))] if opened else [])


@pytest.mark.parametrize("offering_bytes", [1, 300, 65_400])
def test_however_much_is_carried_each_record_is_within_the_limit(offering_bytes: int) -> None:
    opened = [samples.opened(offering="x" * offering_bytes) for _ in range(2_000 if offering_bytes < 1_000 else 3)]
    payloads = list(records.carry([records.encode(each) for each in opened]))
    assert len(payloads) > 1
    assert max(map(len, payloads)) <= records.PAYLOAD_BYTES_MAX
    carried = [records.decode(payload) for payload in payloads]
    assert [each for record in carried if isinstance(record, Carried) for each in record.opened] == opened
