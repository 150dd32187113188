from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from metering import draft, reader, segments
from metering.models import Alert, Batch, Event
from metering.records import Closed, encode, frame
from metering.segments import ID_FILE
from metering.usage import Outcome, Usage
from tests.metering import samples
from tests.metering.conftest import Factory, ids, shipped_ids

pytestmark = pytest.mark.django_db


def test_a_closed_request_becomes_an_event_with_all_that_was_recorded(factory: Factory) -> None:
    opened = samples.opened(tenant_id=5, streamed=True)
    factory.gateway.append_opened(opened)
    factory.gateway.append_closed(samples.closed(opened, usage=Usage(input_uncached=7, input_cached=0, output=3)))
    assert factory.ship() == 1
    event = Event.objects.get()
    assert event.id == UUID(bytes=opened.event_id)
    assert event.occurred_at == datetime(2023, 11, 15, 12, tzinfo=UTC)
    assert (event.tenant_id, event.project_id, event.api_key_id) == (5, 10, 100)
    assert (event.offering, event.deployment, event.streamed) == ("llama-3.3-70b", "llama-at-pool-a", True)
    assert (event.outcome, event.usage_source, event.billed) == ("completed", "reported", True)
    assert (event.input_uncached, event.input_cached, event.output, event.reasoning) == (7, 0, 3, None)
    assert (event.upstream_status, event.first_byte_us, event.duration_us) == (200, 500, 1500)
    assert event.upstream_usage == {"prompt_tokens": 7, "completion_tokens": 3}
    assert event.batch_id == Batch.objects.get().pk


def test_nothing_is_shipped_twice(factory: Factory) -> None:
    factory.serve(3)
    assert factory.ship() == 3
    assert factory.ship() == 0
    assert factory.new_shipper().ship_round() == []  # Also not by a shipper that remembers nothing.
    assert Event.objects.count() == 3


def test_batches_are_of_limited_size_and_leave_no_gap(factory: Factory) -> None:
    factory.serve(5)
    factory.shipper = factory.new_shipper(records_max=4)
    assert factory.ship() == 5
    stretches = Batch.objects.order_by("first").values_list("first", "last", "events")
    assert list(stretches) == [(1, 4, 2), (5, 8, 2), (9, 10, 1)]


def test_batches_are_limited_in_bytes_too(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "BATCH_BYTES_MAX", 1)
    small = factory.open("gateway-2", segment_bytes_max=500)
    factory.serve(6, small)
    assert factory.ship() == 6
    found = segments.segments(factory.journals / "gateway-2")
    assert list(Batch.objects.order_by("first").values_list("first", flat=True)) == [each.first for each in found]
    small.close()


def test_a_record_of_another_version_stops_the_journal_and_is_not_skipped(
    factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    factory.serve(1)
    path = segments.segments(factory.journals / "gateway-1")[-1].path
    sound = path.read_bytes()
    path.write_bytes(sound + frame(3, b"\x91\xa1z") + frame(4, encode(samples.opened())))
    assert factory.ship() == 1
    assert "record 3" in caplog.text
    assert "version that wrote it" in caplog.text


def test_what_is_only_open_waits_for_its_ending(factory: Factory) -> None:
    factory.gateway.append_opened(opened := samples.opened())
    assert factory.ship() == 0
    assert not Batch.objects.exists()
    factory.gateway.append_closed(samples.closed(opened))
    assert factory.ship() == 1


def test_many_that_are_only_open_do_not_hide_an_ending_behind_them(factory: Factory) -> None:
    factory.shipper = factory.new_shipper(records_max=2)
    begun = [samples.opened() for _ in range(5)]
    for opened in begun:
        factory.gateway.append_opened(opened)
    factory.gateway.append_closed(samples.closed(begun[0]))
    assert factory.ship() == 1
    assert factory.nudges == 1  # Batches without events are no reason to fold.


def test_a_half_written_record_is_not_there_yet(factory: Factory) -> None:
    answered = factory.serve(2)
    path = segments.segments(factory.journals / "gateway-1")[-1].path
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert factory.ship() == 1
    path.write_bytes(whole)
    assert factory.ship() == 1
    assert shipped_ids() == ids(answered)


def test_a_request_that_a_crash_cut_is_shipped_as_interrupted(factory: Factory) -> None:
    factory.gateway.append_opened(samples.opened())
    factory.gateway.close()
    factory.gateway = factory.open("gateway-1")
    factory.ship()
    event = Event.objects.get()
    assert (event.outcome, event.billed, event.output) == (Outcome.INTERRUPTED, False, None)


def test_shipped_segments_are_deleted_and_the_newest_ones_are_kept(factory: Factory) -> None:
    small = factory.open("gateway-2", segment_bytes_max=500)
    answered = factory.serve(20, small)
    folder = factory.journals / "gateway-2"
    before = segments.segments(folder)
    assert len(before) > reader.SEGMENTS_KEPT
    factory.ship()
    factory.shipper.ship_round()
    assert segments.segments(folder) == before[-reader.SEGMENTS_KEPT :]
    answered += factory.serve(20, small)
    assert factory.ship() == 20
    assert shipped_ids() == ids(answered)
    small.close()


def test_a_segment_that_is_shipped_in_part_is_kept(factory: Factory) -> None:
    small = factory.open("gateway-2", segment_bytes_max=500)
    factory.serve(20, small)
    before = segments.segments(factory.journals / "gateway-2")
    factory.shipper = factory.new_shipper(records_max=2)
    factory.shipper.ship_round()
    factory.shipper.ship_round()
    assert segments.segments(factory.journals / "gateway-2") == before
    small.close()


def test_several_journals_are_shipped_side_by_side(factory: Factory) -> None:
    other = factory.open("gateway-2")
    answered = factory.serve(2) + factory.serve(3, other)
    assert factory.ship() == 5
    assert shipped_ids() == ids(answered)
    assert set(Batch.objects.values_list("journal_name", "events")) == {("gateway-1", 2), ("gateway-2", 3)}
    other.close()


def test_a_worker_is_told_once_a_round_and_only_of_something(factory: Factory) -> None:
    factory.ship()
    assert factory.nudges == 0
    factory.serve(2)
    factory.ship()
    assert factory.nudges == 1


def test_partitions_are_made_for_whatever_month_an_event_is_of(factory: Factory) -> None:
    december = samples.NOON_US + 40 * 86_400 * 1_000_000
    factory.serve(1)
    factory.serve(1, at_us=december)
    assert factory.ship() == 2
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM metering_event ORDER BY occurred_at")
        assert cursor.fetchall() == [("metering_event_2023_11",), ("metering_event_2023_12",)]


def test_a_clock_that_was_set_back_does_not_stop_shipping(factory: Factory) -> None:
    opened = samples.opened()
    late = samples.closed(opened)
    factory.gateway.append_opened(opened)
    factory.gateway.append_closed(
        Closed(opened, opened.opened_at_us - 9, opened.opened_at_us - 9, *[getattr(late, name) for name in REST])
    )
    factory.ship()
    assert Event.objects.values_list("first_byte_us", "duration_us").get() == (0, 0)


REST = Closed.__struct_fields__[3:]


@pytest.mark.parametrize(
    "words",
    [b"", b"not json", b'{"a": "\\u0000"}', b'{"a": "\\ud800"}', b'{"a": "\xff"}', b'{"a": 1e999999}', b"[" * 9000],
    ids=["empty", "text", "nul", "lone surrogate", "not utf-8", "huge number", "deep"],
)
def test_words_of_an_upstream_that_postgres_refuses_are_kept_wrapped(factory: Factory, words: bytes) -> None:
    factory.gateway.append_opened(opened := samples.opened())
    factory.gateway.append_closed(samples.closed(opened, upstream_usage=words))
    assert factory.ship() == 1
    assert Event.objects.filter(upstream_usage__has_key="unreadable_base64").exists()


def test_an_event_that_is_there_already_is_left_out_counted_and_logged(
    factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    answered = factory.serve(2)
    factory.ship()
    other = factory.open("gateway-2")
    other.append_opened(answered[0].opened)
    other.append_closed(samples.closed(answered[0].opened, usage=Usage(output=999)))
    answered += factory.serve(1, other)
    assert factory.ship() == 1
    assert shipped_ids() == ids(answered)
    assert not Event.objects.filter(output=999).exists()  # The first one committed counts.
    assert list(Batch.objects.order_by("id").values_list("events", "duplicates")) == [(2, 0), (1, 1)]
    assert "1 events of journal gateway-2 1-4 were there already" in caplog.text
    assert factory.serve(1, other)
    assert factory.ship() == 1  # Nothing is held up.
    other.close()


def test_an_event_that_a_journal_holds_twice_counts_once(factory: Factory) -> None:
    answered = factory.serve(1)
    factory.gateway.append_opened(answered[0].opened)
    factory.gateway.append_closed(answered[0])
    assert factory.ship() == 1
    assert Batch.objects.values_list("events", "duplicates").get() == (1, 1)


def test_a_journal_with_a_new_identity_is_shipped_anew_without_doubling(factory: Factory) -> None:
    answered = factory.serve(3)
    factory.ship()
    factory.gateway.close()
    (factory.journals / "gateway-1" / ID_FILE).unlink()
    factory.gateway = factory.open("gateway-1")
    answered += factory.serve(1)
    assert factory.ship() == 1
    assert shipped_ids() == ids(answered)


def damage(path: Any, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(bytes(data))


def test_damage_in_an_older_segment_stops_that_journal_and_no_other(
    factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    small = factory.open("gateway-0", segment_bytes_max=800)
    answered = factory.serve(8, small)
    older = segments.segments(factory.journals / "gateway-0")[0].path
    sound = older.read_bytes()
    damage(older, len(sound) - 4)
    other = factory.serve(2)
    factory.ship()
    assert set(ids(other)) <= set(shipped_ids())
    assert set(shipped_ids()) < set(ids(answered + other))
    for _ in range(2):
        caplog.clear()
        factory.shipper.ship_round()
        assert str(older) in caplog.text  # Said in every round, for nothing may be skipped in silence.
    older.write_bytes(sound)
    factory.ship()
    assert shipped_ids() == ids(answered + other)
    small.close()


def test_a_journal_whose_identity_is_unreadable_stops_no_other(
    factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    broken = factory.journals / "gateway-0"
    broken.mkdir()
    (broken / ID_FILE).write_text("not an id")
    factory.serve(1)
    assert factory.ship() == 1
    assert str(broken) in caplog.text


def test_a_missing_segment_stops_the_journal(factory: Factory, caplog: pytest.LogCaptureFixture) -> None:
    small = factory.open("gateway-2", segment_bytes_max=500)
    factory.serve(20, small)
    segments.segments(factory.journals / "gateway-2")[1].path.unlink()
    factory.ship()
    assert Event.objects.count() < 20
    assert "follows" in caplog.text
    small.close()


def test_segments_that_are_gone_before_they_were_shipped_are_missed(
    factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    small = factory.open("gateway-2", segment_bytes_max=500)
    factory.serve(2, small)
    factory.ship()
    factory.serve(20, small)
    for segment in segments.segments(factory.journals / "gateway-2")[:-1]:
        segment.path.unlink()
    factory.ship()
    assert "were shipped" in caplog.text
    assert Event.objects.count() == 2
    small.close()


def test_a_journal_that_was_restored_from_a_backup_is_noticed(
    factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    factory.serve(1)
    path = segments.segments(factory.journals / "gateway-1")[-1].path
    backup = path.read_bytes()
    factory.serve(2)
    factory.ship()
    factory.gateway.close()
    path.write_bytes(backup)
    factory.gateway = factory.open("gateway-1")
    factory.serve(5)
    assert factory.ship() == 0
    assert "does not hold record 6 as it was shipped" in caplog.text


def test_a_journal_new_to_the_database_says_what_it_does_not_hold(
    factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    factory.serve(3)
    factory.gateway.close()
    factory.gateway = factory.open("gateway-1")
    segments.segments(factory.journals / "gateway-1")[0].path.unlink()
    factory.serve(1)
    assert factory.ship() == 1
    assert "begins with record 7" in caplog.text


def test_requests_that_a_batch_opens_are_counted(factory: Factory) -> None:
    begun = [samples.opened() for _ in range(3)]
    for opened in begun:
        factory.gateway.append_opened(opened)
    factory.gateway.append_closed(samples.closed(begun[0]))
    factory.ship()
    assert Batch.objects.values_list("opened", "events").get() == (3, 1)


def test_all_before_an_ending_of_another_version_is_shipped(factory: Factory, caplog: pytest.LogCaptureFixture) -> None:
    factory.serve(3)
    path = segments.segments(factory.journals / "gateway-1")[-1].path
    ending = encode(samples.closed())
    more_units = ending.replace(b"\x9b\x07\xc0", b"\x9c\x00\x07\xc0", 1)
    assert more_units != ending
    path.write_bytes(path.read_bytes() + frame(7, more_units) + frame(8, encode(samples.opened())))
    assert factory.ship() == 3
    assert "record 7" in caplog.text
    assert "1 units more than are known" in caplog.text
    alert = Alert.objects.get(resolved_at=None)
    assert alert.kind == "journal_record_foreign"
    assert path.name in alert.subject


def test_events_of_several_months_may_follow_each_other_in_any_way(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BLOCK_BYTES", 400)
    answered = []
    for number in range(12):
        answered += factory.serve(1, at_us=samples.NOON_US + number * 7 % 4 * 31 * 86_400 * 1_000_000)
    assert factory.ship() == 12
    assert shipped_ids() == ids(answered)


def open_alerts() -> list[tuple[str, str]]:
    return list(Alert.objects.filter(resolved_at=None).values_list("kind", "subject"))


def test_a_gap_raises_an_alert_that_names_the_segment_and_ends_when_shipping_goes_on(factory: Factory) -> None:
    small = factory.open("gateway-2", segment_bytes_max=500)
    answered = factory.serve(20, small)
    before, lost, *_ = segments.segments(factory.journals / "gateway-2")
    content = lost.path.read_bytes()
    lost.path.unlink()
    factory.ship()
    factory.shipper.ship_round()
    ((kind, subject),) = open_alerts()
    assert kind == "journal_gap"
    assert subject.startswith(f"gateway-2/{before.path.name}")
    lost.path.write_bytes(content)
    factory.shipper = factory.new_shipper()  # Another one than that which raised it.
    factory.ship()
    assert open_alerts() == []
    assert shipped_ids() == ids(answered)
    small.close()


def test_each_reason_why_a_journal_is_not_shipped_has_an_alert_of_its_own(factory: Factory) -> None:
    small = factory.open("gateway-2", segment_bytes_max=500)
    factory.serve(4, small)
    older = segments.segments(factory.journals / "gateway-2")[0].path
    sound = older.read_bytes()
    damage(older, len(sound) - 4)
    factory.ship()
    assert [kind for kind, _ in open_alerts()] == ["journal_corrupt"]
    older.write_bytes(sound[: len(sound) // 3])
    factory.shipper.ship_round()
    older.write_bytes(sound)
    factory.ship()
    assert open_alerts() == []
    (factory.journals / "gateway-2" / ID_FILE).write_text("no id")
    factory.shipper.ship_round()
    assert open_alerts() == [("journal_unshippable", "gateway-2/")]
    small.close()
