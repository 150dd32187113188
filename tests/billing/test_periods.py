"""Months are two instants, contiguous whatever the clocks do."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.periods import NotAMonth, is_on_quarter_hour, month, month_at, next_month, parse_month

zones = st.sampled_from(sorted(available_timezones() - {"localtime", "Factory"}))
months = st.dates(date(1975, 1, 1), date(2037, 11, 30)).map(lambda day: day.replace(day=1))
instants = st.integers(160_000_000, 2_140_000_000).map(lambda second: datetime.fromtimestamp(second, UTC))


@given(months, zones)
def test_a_month_ends_where_the_next_begins(first_day: date, zone: str) -> None:
    this, following = month(first_day, zone), month(next_month(first_day), zone)
    assert this.end == following.start
    assert timedelta(days=27, hours=20) < this.end - this.start < timedelta(days=31, hours=4)


@given(instants, zones)
def test_every_instant_is_in_one_month(at: datetime, zone: str) -> None:
    found = month_at(at, zone)
    assert found.start <= at < found.end


@given(st.dates(date(2000, 1, 1), date(2037, 1, 1)).map(lambda day: day.replace(day=1)), zones)
def test_a_month_begins_on_a_quarter_of_an_hour(first_day: date, zone: str) -> None:
    assert is_on_quarter_hour(month(first_day, zone).start)


def test_a_month_with_a_clock_change_is_an_hour_longer() -> None:
    october = month(date(2026, 10, 1), "Europe/Berlin")
    assert (october.start, october.end) == (
        datetime(2026, 9, 30, 22, tzinfo=UTC),
        datetime(2026, 10, 31, 23, tzinfo=UTC),
    )
    assert october.end - october.start == timedelta(days=31, hours=1)


def test_an_hour_that_the_clocks_repeat_at_midnight_belongs_to_the_month_that_had_begun() -> None:
    november = month(date(2009, 11, 1), "America/St_Johns")
    repeated = november.start + timedelta(minutes=30)
    assert repeated.astimezone(ZoneInfo("America/St_Johns")).date() == date(2009, 10, 31)
    assert month_at(repeated, "America/St_Johns") == november


def test_a_month_is_written_with_year_and_month() -> None:
    assert parse_month("2026-11") == date(2026, 11, 1)
    assert str(month(date(2026, 11, 1), "UTC")) == "2026-11"
    assert month(date(2026, 2, 1), "UTC").last_day == date(2026, 2, 28)


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-00", "2026-1", "11-2026", "2026-11-01", "", "0000-01", "9999-12", "\uff12026-11"]
)
def test_anything_else_is_not_a_month(text: str) -> None:
    with pytest.raises(NotAMonth):
        parse_month(text)


def test_a_month_begins_on_its_first_day() -> None:
    with pytest.raises(NotAMonth):
        month(date(2026, 11, 2), "UTC")
