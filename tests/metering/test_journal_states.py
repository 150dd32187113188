"""What is known of each journal beside its events, and the alert where one is shipped late."""

from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from metering import journal_states, sightings
from metering.journal_states import JournalWatch, check_late
from metering.models import Alert, JournalState
from metering.shipping import Shipper
from tests.metering import samples
from tests.metering.conftest import Factory
from tests.metering.journals import open_journal

pytestmark = pytest.mark.django_db

LATE = timedelta(minutes=6)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = timezone.now()

    def __call__(self) -> datetime:
        return self.now

    def passes(self, by: timedelta) -> None:
        self.now += by


@pytest.fixture
def clock() -> Clock:
    return Clock()


def watched(factory: Factory, clock: Clock, records_max: int = 1000) -> Shipper:
    return Shipper(factory.journals, records_max=records_max, after_commit=factory.nudge, watch=JournalWatch(clock))


def ship(shipper: Shipper, clock: Clock) -> JournalState:
    """One round, a while after the last one."""
    clock.passes(timedelta(seconds=20))
    shipper.ship_round()
    return JournalState.objects.get()


def test_a_state_says_how_far_a_journal_was_shipped(factory: Factory, clock: Clock) -> None:
    factory.serve(3)
    shipper = watched(factory, clock)
    ship(shipper, clock)
    state = ship(shipper, clock)
    assert (state.name, state.last_shipped, state.segments) == ("gateway-1", 6, 1)
    assert (state.unshipped_bytes, state.unshipped_since, state.problem) == (0, None, "")
    assert (state.events, state.duplicates, state.seen_at) == (3, 0, clock.now)


def test_what_waits_behind_a_full_batch_has_its_size_and_its_age(factory: Factory, clock: Clock) -> None:
    factory.serve(1)
    factory.serve(1, at_us=samples.NOON_US + 60_000_000)
    before = sum(path.stat().st_size for path in factory.journals.rglob("*.journal"))
    state = ship(watched(factory, clock, records_max=2), clock)
    assert state.last_shipped == 2
    assert 0 < state.unshipped_bytes < before
    assert state.unshipped_since == sightings.EPOCH + timedelta(microseconds=samples.NOON_US + 60_000_000)


def test_a_request_that_is_still_open_is_nothing_late(factory: Factory, clock: Clock) -> None:
    factory.serve(1)
    factory.gateway.append_opened(samples.opened())
    shipper = watched(factory, clock, records_max=2)
    ship(shipper, clock)
    state = ship(shipper, clock)
    assert state.unshipped_bytes > 0
    assert state.unshipped_since is None
    check_late(clock.now)
    assert not Alert.objects.exists()


def test_open_requests_are_counted_in_the_journal_itself(factory: Factory, clock: Clock) -> None:
    begun = [samples.opened() for _ in range(3)]
    for each in begun:
        factory.gateway.append_opened(each)
    factory.gateway.append_closed(samples.closed(begun[1]))
    state = ship(watched(factory, clock), clock)
    assert (state.still_open, state.counted_to) == (2, 4)


def test_requests_carried_into_a_newer_segment_are_open_once(factory: Factory, clock: Clock) -> None:
    with_small_segments = open_journal(factory.journals / "gateway-2", segment_bytes_max=4096, fsync_interval_ms=0)
    with_small_segments.append_opened(samples.opened())
    for _ in range(60):
        factory.serve(1, journal=with_small_segments)
    with_small_segments.close()
    shipper = watched(factory, clock)
    for _ in range(3):
        clock.passes(timedelta(seconds=20))
        shipper.ship_round()
    state = JournalState.objects.get(name="gateway-2")
    assert state.segments > 1
    assert state.still_open == 1


def test_rounds_write_at_most_once_a_second_and_lose_no_count(factory: Factory, clock: Clock) -> None:
    shipper = watched(factory, clock)
    for _ in range(5):
        factory.serve(1)
        clock.passes(timedelta(milliseconds=200))
        shipper.ship_round()
    assert JournalState.objects.get().events == 1
    assert ship(shipper, clock).events == 5


def test_a_journal_at_rest_is_written_as_a_heartbeat_only(factory: Factory, clock: Clock) -> None:
    factory.serve(1)
    shipper = watched(factory, clock)
    ship(shipper, clock)
    seen_at = ship(shipper, clock).seen_at
    clock.passes(timedelta(seconds=5))
    shipper.ship_round()
    assert JournalState.objects.get().seen_at == seen_at
    clock.passes(timedelta(seconds=10))
    shipper.ship_round()
    assert JournalState.objects.get().seen_at == clock.now


def test_two_shippers_of_one_journal_add_up(factory: Factory, clock: Clock) -> None:
    for _ in range(2):
        factory.serve(2)
        state = ship(watched(factory, clock), clock)
    assert state.events == 4


def test_what_stops_a_journal_stands_in_its_state_and_makes_it_late(factory: Factory, clock: Clock) -> None:
    factory.serve(2)
    shipper = watched(factory, clock)
    ship(shipper, clock)
    newest(factory).unlink()
    factory.gateway.close()
    open_journal(factory.journals / "gateway-1").close()
    factory.gateway = open_journal(factory.journals / "gateway-1")
    factory.serve(1)
    damage(factory)
    state = ship(shipper, clock)
    assert state.problem
    assert state.unshipped_since is not None
    clock.passes(LATE)
    ship(shipper, clock)
    check_late(clock.now)
    assert state.problem in Alert.objects.get(kind="shipping_late").message


def newest(factory: Factory) -> Path:
    return sorted((factory.journals / "gateway-1").glob("*.journal"))[-1]


def damage(factory: Factory) -> None:
    """A byte of the first record behind the last one shipped is another one now."""
    path = newest(factory)
    content = bytearray(path.read_bytes())
    content[20] ^= 0xFF
    path.write_bytes(content)


def test_a_journal_that_nobody_looks_at_is_late_until_somebody_does(factory: Factory, clock: Clock) -> None:
    factory.serve(1)
    shipper = watched(factory, clock)
    state = ship(shipper, clock)
    check_late(clock.now + timedelta(minutes=4))
    assert not Alert.objects.exists()
    check_late(clock.now + LATE)
    alert = Alert.objects.get()
    assert (alert.kind, alert.resolved_at) == ("shipping_late", None)
    assert alert.subject == f"gateway-1 ({str(state.journal_id)[:8]})"
    assert state.node in alert.message
    clock.passes(LATE)
    ship(shipper, clock)
    check_late(clock.now)
    alert.refresh_from_db()
    assert alert.resolved_at is not None


def test_a_journal_that_is_gone_for_good_can_be_forgotten_and_comes_back_when_shipped(
    factory: Factory, clock: Clock
) -> None:
    factory.serve(1)
    state = ship(watched(factory, clock), clock)
    check_late(clock.now + LATE)
    journal_states.forget(state)
    check_late(clock.now + LATE)
    assert Alert.objects.get().resolved_at is not None
    factory.serve(1)
    assert ship(watched(factory, clock), clock).events == 1


def test_a_watch_that_fails_keeps_nothing_from_being_shipped(
    factory: Factory, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise FileNotFoundError("a segment went away meanwhile")

    monkeypatch.setattr(sightings, "look", fail)
    factory.serve(1)
    batches = watched(factory, clock).ship_round()
    assert [batch.events for batch in batches] == [1]
    assert "a segment went away" in caplog.text


def test_the_ship_command_says_what_it_saw(factory: Factory, settings: Any) -> None:
    factory.serve(2)
    settings.TOKENWORKS_HOME = factory.journals.parent
    call_command("ship", once=True, stdout=StringIO())
    assert JournalState.objects.get().last_shipped == 4
