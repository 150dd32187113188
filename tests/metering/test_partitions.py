from datetime import UTC, datetime, timedelta

import pytest
from django.db import ProgrammingError, connection
from hypothesis import given, settings
from hypothesis import strategies as st

from metering import partitions
from metering.models import Alert
from tests.metering.threads import at_once

MONTHS = [datetime(2031, month, 1, tzinfo=UTC) for month in range(1, 7)]


FIRST, LAST = datetime(1970, 1, 1), datetime(2900, 1, 1)  # noqa: DTZ001 - Hypothesis adds the zone.


@given(st.datetimes(FIRST, LAST, timezones=st.timezones()))
@settings(deadline=None)  # The first use of a zone reads its file.
def test_every_instant_lies_in_exactly_one_month(at: datetime) -> None:
    month = partitions.month_of(at)
    assert month <= at < partitions.next_month(month)
    assert partitions.month_of(partitions.next_month(month) - timedelta(microseconds=1)) == month


@pytest.mark.django_db
def test_only_missing_partitions_are_made() -> None:
    assert partitions.ensure(MONTHS[:2]) == ["metering_event_2031_01", "metering_event_2031_02"]
    assert partitions.ensure(MONTHS[:3]) == ["metering_event_2031_03"]
    assert partitions.ensure(MONTHS[:3]) == []


@pytest.mark.django_db
def test_partitions_are_made_ahead_across_the_end_of_a_year() -> None:
    assert partitions.ensure_ahead(datetime(2032, 12, 31, 23, 59, tzinfo=UTC)) == [
        "metering_event_2032_12",
        "metering_event_2033_01",
        "metering_event_2033_02",
    ]


@pytest.mark.django_db(transaction=True)
def test_processes_that_make_the_same_partitions_at_once_all_succeed() -> None:
    try:
        made = at_once(*[lambda: partitions.ensure(MONTHS)] * 4)
        assert sorted(map(len, made)) == [0, 0, 0, len(MONTHS)]  # type: ignore[arg-type]  # Lists, all of them.
    finally:
        with connection.cursor() as cursor:
            for month in MONTHS:
                cursor.execute(f"DROP TABLE metering_event_{month:%Y_%m}")


@pytest.mark.django_db
def test_missing_partitions_ahead_raise_an_alert_until_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2031, 5, 9, tzinfo=UTC)
    partitions.ensure(MONTHS[4:5])
    with monkeypatch.context() as patched:
        patched.setattr(partitions, "ensure", refuse)
        with pytest.raises(ProgrammingError):
            partitions.keep_ahead(now)
    alert = Alert.objects.get(kind="partitions_missing", resolved_at=None)
    assert alert.details == {"missing": ["metering_event_2031_06", "metering_event_2031_07"]}
    assert "2031_06" in alert.message
    partitions.keep_ahead(now)
    alert.refresh_from_db()
    assert alert.resolved_at is not None
    assert partitions.check_ahead(now) == []


def refuse(months: object) -> None:
    raise ProgrammingError("must be owner of table metering_event")


@pytest.mark.django_db
def test_months_in_the_database_are_listed_in_order() -> None:
    partitions.ensure(reversed(MONTHS))
    assert [month for month in partitions.months() if month.year == 2031] == MONTHS
