import random
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db.models import F

from metering import partitions, reconciliation, rollup
from metering.models import Alert, Archive, Bucket
from tests.metering import samples
from tests.metering.conftest import Factory

pytestmark = pytest.mark.django_db

NOON = datetime(2023, 11, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DAY_US = 86_400_000_000


def fold(factory: Factory, *, days_before: int = 0) -> None:
    factory.serve(1, at_us=samples.NOON_US - days_before * DAY_US)
    factory.ship()
    rollup.fold_everything()


def open_alerts() -> set[tuple[str, str]]:
    return set(Alert.objects.filter(resolved_at=None).values_list("kind", "subject"))


def test_a_bucket_that_differs_raises_an_alert_of_its_day_and_ends_when_it_is_right_again(
    factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    fold(factory)
    Bucket.objects.filter(unit="output").update(quantity=F("quantity") + 1)
    for night in (NOON, NOON + DAY):
        assert len(reconciliation.compare_recent(night)) == 1
        assert open_alerts() == {("buckets_differ", "2023-11-15")}
    assert "llama-3.3-70b" in caplog.text
    assert "llama-3.3-70b" in Alert.objects.get().message
    Bucket.objects.filter(unit="output").update(quantity=F("quantity") - 1)
    assert reconciliation.compare_recent(NOON + DAY) == []
    assert open_alerts() == set()


def test_a_day_that_differed_is_compared_again_each_night_until_it_is_right(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "DRAWN_DAYS", 0)
    fold(factory)
    Bucket.objects.filter(unit="output").update(quantity=F("quantity") + 1)
    reconciliation.compare_recent(NOON)
    assert len(reconciliation.compare_recent(NOON + 10 * DAY)) == 1
    Bucket.objects.filter(unit="output").update(quantity=F("quantity") - 1)
    reconciliation.compare_recent(NOON + 11 * DAY)
    assert open_alerts() == set()


def test_days_of_the_past_are_drawn_too(factory: Factory) -> None:
    fold(factory, days_before=40)
    Bucket.objects.filter(unit="output").update(quantity=F("quantity") + 1)
    nights = 0
    while not open_alerts():
        reconciliation.compare_recent(NOON, chance=random.Random(nights))
        nights += 1
        assert nights < 500, "a day of six weeks was never drawn"
    assert open_alerts() == {("buckets_differ", "2023-10-06")}


def test_days_are_drawn_only_of_months_whose_events_are_all_here() -> None:
    partitions.ensure(datetime(2023, month, 1, tzinfo=UTC) for month in (8, 9, 10, 11, 12))
    for month, dropped_at in ((8, NOON), (9, None)):
        Archive.objects.create(
            month=date(2023, month, 1), rows=0, file_bytes=0, sha256=b"", archived_at=NOON, dropped_at=dropped_at
        )
    kept = reconciliation._kept_days(date(2023, 11, 3))
    assert (min(day for day in kept if day.year == 2023), max(kept)) == (date(2023, 9, 1), date(2023, 11, 2))
    assert len([day for day in kept if day >= date(2023, 8, 1)]) == 30 + 31 + 2


def test_what_there_was_no_time_for_is_an_alert_until_a_night_had_time_for_all(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold(factory)
    with monkeypatch.context() as patched:
        patched.setattr(reconciliation, "TIME_LIMIT_S", -1.0)
        patched.setattr(rollup, "_DIFFERENCES", "SELECT pg_sleep(5), %(start)s, %(end)s, %(limit)s")
        assert reconciliation.compare_recent(NOON) == []
    assert open_alerts() == {("buckets_not_compared", "nightly comparison")}
    assert "2023-11-15" in Alert.objects.get().message
    reconciliation.compare_recent(NOON)
    assert open_alerts() == set()
