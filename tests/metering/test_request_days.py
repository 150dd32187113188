"""Requests that were opened = events by outcome, and what is still open: by journal and day."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from metering import request_days
from metering.journal_states import JournalWatch
from metering.models import Alert, Batch, JournalState, RequestDay
from metering.shipping import Shipper
from metering.usage import Outcome
from tests.metering import samples
from tests.metering.conftest import Factory
from tests.metering.journals import open_journal

pytestmark = pytest.mark.django_db

MONDAY, TUESDAY = date(2026, 3, 9), date(2026, 3, 10)
WEDNESDAY_NIGHT = datetime(2026, 3, 11, 1, 10, tzinfo=UTC)


def ship(factory: Factory, on: date, *, look: bool = True) -> None:
    """Ship, as if it were noon of that day; the watch counts what is open there."""
    known = set(Batch.objects.values_list("id", flat=True))
    watch = JournalWatch() if look else None
    Shipper(factory.journals, records_max=1000, after_commit=factory.nudge, watch=watch).ship_round()
    noon = datetime(on.year, on.month, on.day, 12, tzinfo=UTC)
    Batch.objects.exclude(id__in=known).update(committed_at=noon)


def row(day: date = TUESDAY) -> RequestDay:
    return RequestDay.objects.get(day=day)


def test_a_day_has_its_requests_its_events_by_outcome_and_what_is_open(factory: Factory) -> None:
    factory.serve(3)
    factory.gateway.append_opened(begun := samples.opened())
    factory.gateway.append_closed(samples.closed(begun, outcome=Outcome.UPSTREAM_FAILED))
    factory.gateway.append_opened(samples.opened())
    factory.serve(1)
    ship(factory, TUESDAY)
    assert request_days.check_due(WEDNESDAY_NIGHT) == 1
    found = row()
    assert (found.opened, found.closed, found.still_open, found.missing) == (6, 5, 1, 0)
    assert found.outcomes == {"completed": 4, "upstream_failed": 1}
    assert not Alert.objects.exists()


def test_what_was_opened_on_one_day_and_closed_on_another_is_missing_on_none(factory: Factory) -> None:
    begun = samples.opened()
    factory.gateway.append_opened(begun)
    factory.serve(1)
    ship(factory, MONDAY)
    factory.gateway.append_closed(samples.closed(begun))
    factory.serve(2)
    ship(factory, TUESDAY)
    request_days.check(MONDAY)
    request_days.check(TUESDAY)
    assert [(day.opened, day.closed, day.still_open, day.missing) for day in (row(MONDAY), row())] == [
        (2, 1, 1, 0),
        (2, 3, 0, 0),
    ]
    assert not Alert.objects.exists()


def test_a_request_that_was_lost_alerts_on_the_day_and_not_every_night_after(factory: Factory) -> None:
    factory.serve(3)
    ship(factory, MONDAY)
    Batch.objects.update(opened=4)  # One more than the journal ended or still has open.
    request_days.check(MONDAY)
    alert = Alert.objects.get()
    assert (alert.kind, row(MONDAY).missing) == ("requests_without_event", 1)
    assert "1 requests were opened, have no event and are not open any more" in alert.message
    assert alert.subject.endswith(" 2026-03-09")
    factory.serve(2)
    ship(factory, TUESDAY)
    request_days.check(TUESDAY)
    assert (row().missing, Alert.objects.count()) == (0, 1)


def test_ends_without_a_request_alert(factory: Factory) -> None:
    factory.serve(3)
    ship(factory, TUESDAY)
    Batch.objects.update(opened=2)
    request_days.check(TUESDAY)
    assert "1 more ends than requests" in Alert.objects.get().message


def test_events_that_are_not_in_the_table_alert_and_resolve_when_they_are_back(factory: Factory) -> None:
    factory.serve(3)
    ship(factory, TUESDAY)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE lost AS SELECT * FROM metering_event LIMIT 1")
        cursor.execute("DELETE FROM metering_event WHERE id IN (SELECT id FROM lost)")
        request_days.check(TUESDAY)
        alert = Alert.objects.get()
        assert "brought 3 events and the table holds 2" in alert.message
        cursor.execute("INSERT INTO metering_event SELECT * FROM lost")
    request_days.check(TUESDAY)
    alert.refresh_from_db()
    assert alert.resolved_at is not None


def test_a_request_shipped_again_is_one_event_and_no_loss(factory: Factory) -> None:
    begun = samples.opened()
    for _ in range(2):
        factory.gateway.append_opened(begun)
        factory.gateway.append_closed(samples.closed(begun))
    ship(factory, TUESDAY)
    request_days.check(TUESDAY)
    assert (row().opened, row().closed, row().duplicates, row().missing) == (2, 2, 1, 0)
    assert not Alert.objects.exists()


def test_a_request_that_is_open_over_many_segments_was_opened_once(factory: Factory) -> None:
    small = open_journal(factory.journals / "gateway-2", segment_bytes_max=4096, fsync_interval_ms=0)
    begun = [samples.opened() for _ in range(2)]
    for each in begun:
        small.append_opened(each)
    factory.serve(60, journal=small)
    small.append_closed(samples.closed(begun[0]))
    small.close()
    ship(factory, TUESDAY)
    assert JournalState.objects.get(name="gateway-2").segments > 2
    request_days.check(TUESDAY)
    found = RequestDay.objects.get(journal_name="gateway-2")
    assert (found.opened, found.closed, found.still_open, found.missing) == (62, 61, 1, 0)


def test_requests_that_a_crash_interrupted_have_their_events(factory: Factory) -> None:
    for _ in range(3):
        factory.gateway.append_opened(samples.opened())
    factory.serve(1)
    factory.gateway.close()
    factory.gateway = factory.open("gateway-1")  # Which recovers what was open.
    factory.gateway.append_opened(samples.opened())
    factory.serve(1)
    ship(factory, TUESDAY)
    request_days.check(TUESDAY)
    assert (row().opened, row().still_open, row().missing) == (6, 1, 0)
    assert row().outcomes == {"completed": 2, "interrupted": 3}


def test_a_journal_of_an_older_version_is_checked_from_the_day_it_is_known(factory: Factory) -> None:
    factory.gateway.append_opened(samples.opened())
    factory.serve(2)
    ship(factory, MONDAY, look=False)
    Batch.objects.update(opened=None)
    request_days.check(MONDAY)
    assert (row(MONDAY).opened, row(MONDAY).still_open, row(MONDAY).missing) == (None, None, None)
    factory.serve(2)
    ship(factory, TUESDAY)
    request_days.check(TUESDAY)
    assert (row().still_open, row().missing) == (1, None)
    factory.serve(1)
    ship(factory, TUESDAY + timedelta(days=1))
    request_days.check(TUESDAY + timedelta(days=1))
    assert row(TUESDAY + timedelta(days=1)).missing == 0
    assert not Alert.objects.exists()


def test_days_that_nobody_checked_are_checked_later_and_yesterday_again(factory: Factory) -> None:
    factory.serve(1)
    ship(factory, MONDAY)
    assert request_days.check_due(WEDNESDAY_NIGHT - timedelta(days=1)) == 1
    for number in (1, 2, 3):
        factory.serve(1)
        ship(factory, MONDAY + timedelta(days=number))
    assert request_days.check_due(WEDNESDAY_NIGHT + timedelta(days=2)) == 3
    assert request_days.check_due(WEDNESDAY_NIGHT + timedelta(days=2)) == 1


def test_the_operator_sees_the_days(factory: Factory, client: Client, olga: User) -> None:
    factory.serve(3)
    ship(factory, TUESDAY)
    request_days.check(TUESDAY)
    client.force_login(olga)
    assert "completed 3" in client.get(reverse("admin:metering_requestday_changelist")).text
    page = client.get(reverse("admin:metering_journalstate_changelist"))
    assert "gateway-1" in page.text
    chosen = {"action": "forget", "_selected_action": [str(RequestDay.objects.get().journal_id)]}
    client.post(reverse("admin:metering_journalstate_changelist"), chosen)
    assert "gateway-1" not in client.get(reverse("admin:metering_journalstate_changelist")).text
    assert client.post(reverse("admin:metering_requestday_add")).status_code == 403
