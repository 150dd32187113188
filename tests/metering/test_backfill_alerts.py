"""Backfills that nobody ends are told of."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from metering import backfills, tasks
from metering.backfill_alerts import check_open
from metering.models import Alert, Backfill
from tests.conftest import Person
from tests.metering.reported import flat, report

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def three_days(settings: Any) -> None:
    settings.TOKENWORKS_BACKFILL_OPEN_DAYS_MAX = 3


def opened(who: Person, name: str, ago: timedelta) -> Backfill:
    made = backfills.create(who.tenant.pk, name)
    Backfill.objects.filter(pk=made.pk).update(created_at=timezone.now() - ago)
    made.refresh_from_db()
    return made


def told() -> list[str]:
    """What the open alerts are about."""
    found = Alert.objects.filter(kind="backfill_left_open", resolved_at=None)
    return sorted(found.values_list("subject", flat=True))


def later(days: float) -> datetime:
    return timezone.now() + timedelta(days=days)


def test_a_backfill_is_told_of_once_it_is_open_for_longer_than_the_setting(alice: Person) -> None:
    opened(alice, "may", timedelta(days=2))
    assert (check_open(), told()) == (0, [])
    assert (check_open(later(1.1)), told()) == (1, ["acme/may"])
    assert (check_open(later(1.2)), told()) == (1, ["acme/may"])


def test_the_alert_says_how_much_waits_and_since_when(alice: Person) -> None:
    made = opened(alice, "may", timedelta(days=9))
    report(alice, flat(1), flat(2), backfill="may")
    check_open()
    alert = Alert.objects.get()
    assert f"since {made.created_at:%Y-%m-%d %H:%M:%S} UTC and holds 2 events back" in alert.message
    assert alert.details == {"events": 2, "open_since": made.created_at.isoformat()}


@pytest.mark.parametrize("end", [backfills.commit, backfills.revert])
def test_the_alert_is_over_when_the_backfill_is_committed_or_reverted(alice: Person, end: Any) -> None:
    made = opened(alice, "may", timedelta(days=9))
    opened(alice, "june", timedelta(days=9))
    check_open()
    end(made)
    assert (check_open(), told()) == (1, ["acme/june"])
    assert Alert.objects.get(subject="acme/may").resolved_at is not None


def test_backfills_of_one_name_are_told_apart_by_their_tenants(alice: Person, mallory: Person) -> None:
    opened(alice, "may", timedelta(days=9))
    theirs = opened(mallory, "may", timedelta(days=9))
    assert (check_open(), told()) == (2, ["acme/may", "mallory/may"])
    backfills.revert(theirs)
    assert (check_open(), told()) == (1, ["acme/may"])


def test_a_longer_setting_ends_the_alert(alice: Person, settings: Any) -> None:
    opened(alice, "may", timedelta(days=9))
    check_open()
    settings.TOKENWORKS_BACKFILL_OPEN_DAYS_MAX = 30
    assert (check_open(), told()) == (0, [])


def test_beat_asks_for_it_and_the_admin_shows_it(alice: Person, office: APIClient) -> None:
    opened(alice, "may", timedelta(days=9))
    tasks.check_backfills()
    tasks.check_backfills()  # A task may run twice.
    assert told() == ["acme/may"]
    assert "acme/may" in office.get(reverse("admin:metering_alert_changelist")).content.decode()
