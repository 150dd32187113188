from datetime import UTC, datetime, timedelta

import pytest
from celery import current_app
from django.utils import timezone

from metering import tasks
from metering.models import Bucket
from metering.partitions import ensure_ahead
from metering.schedule import BEAT_SCHEDULE
from tests.metering.conftest import Factory

pytestmark = pytest.mark.django_db


def test_every_scheduled_task_exists() -> None:
    assert {entry["task"] for entry in BEAT_SCHEDULE.values()} == {
        task.name
        for task in (
            tasks.fold,
            tasks.make_partitions,
            tasks.compare_buckets,
            tasks.mail_alerts,
            tasks.check_shipping,
            tasks.check_backfills,
            tasks.check_requests,
            tasks.archive_old_months,
        )
    }
    assert {entry["task"] for entry in BEAT_SCHEDULE.values()} <= current_app.tasks.keys()


def test_the_task_folds_what_was_shipped(factory: Factory) -> None:
    factory.serve(2)
    factory.ship()
    tasks.fold()
    tasks.fold()  # A task may run twice.
    assert Bucket.objects.get(unit="request").quantity == 2


def test_the_task_makes_partitions_ahead() -> None:
    tasks.make_partitions()
    assert ensure_ahead() == []


def test_the_task_compares_what_is_recent(factory: Factory, caplog: pytest.LogCaptureFixture) -> None:
    at_us = (timezone.now() - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    factory.serve(1, at_us=at_us)
    factory.ship()
    tasks.fold()
    Bucket.objects.filter(unit="output").update(quantity=9)
    tasks.compare_buckets()
    assert "1 buckets" in caplog.text
