import logging

import pytest

from metering import alerts
from metering.models import Alert
from tests.metering.threads import at_once

pytestmark = pytest.mark.django_db

GAP = ("journal_gap", "gateway-1/00000000000000000009.journal")


def test_an_alert_stays_open_and_is_logged_once_however_often_it_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        alerts.raise_alert(*GAP, "Records 5 to 8 are missing.", missing=4)
        alerts.raise_alert(*GAP, "Records 5 to 7 are missing.", missing=3)
    alert = Alert.objects.get()
    assert (alert.message, alert.details, alert.resolved_at) == ("Records 5 to 7 are missing.", {"missing": 3}, None)
    assert alert.first_seen_at < alert.last_seen_at
    assert len(caplog.records) == 1


def test_what_is_over_is_resolved_and_may_come_again() -> None:
    alerts.raise_alert(*GAP, "Records 5 to 8 are missing.")
    assert alerts.resolve(*GAP)
    assert not alerts.resolve(*GAP)
    alerts.raise_alert(*GAP, "Records 5 to 8 are missing again.")
    assert [alert.resolved_at is None for alert in Alert.objects.order_by("id")] == [False, True]


def test_alerts_of_different_subjects_are_apart() -> None:
    alerts.raise_alert("journal_gap", "a", "Missing.")
    alerts.raise_alert("journal_gap", "b", "Missing.")
    alerts.resolve("journal_gap", "a")
    assert Alert.objects.get(resolved_at=None).subject == "b"


@pytest.mark.django_db(transaction=True)
def test_two_that_find_the_same_at_once_raise_one_alert() -> None:
    at_once(*[lambda: alerts.raise_alert(*GAP, "Records 5 to 8 are missing.")] * 4)
    assert Alert.objects.count() == 1
