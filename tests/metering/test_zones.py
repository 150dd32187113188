"""Days, hours and months of every zone, across every change of its clocks in two years, as Postgres cuts them."""

import zoneinfo
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering import totals
from metering.models import Bucket
from metering.totals import Question, usage_rows
from metering.zones import QUARTER, charge_period, offsets, stretches
from tests.conftest import Person

FIRST, LAST = datetime(2025, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
APIA = "Pacific/Apia"
# Clocks that change by half an hour, at midnight, around Ramadan, not at all; offsets of halves and of three quarters.
SAMPLE = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/El_Aaiun",
    "America/Asuncion",
    "America/Bogota",
    "America/Caracas",
    "America/Havana",
    "America/Los_Angeles",
    "America/Miquelon",
    "America/New_York",
    "America/Nuuk",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/Scoresbysund",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Jerusalem",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Tehran",
    "Asia/Tokyo",
    "Australia/Adelaide",
    "Australia/Eucla",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/Lisbon",
    "Pacific/Apia",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Easter",
    "Pacific/Kiritimati",
    "Pacific/Marquesas",
    "UTC",
]


def quarters(start: datetime, end: datetime) -> Iterable[datetime]:
    while start < end:
        yield start
        start += QUARTER


@cache
def changes(zone: str) -> list[datetime]:
    """The instants from FIRST to LAST at which the zone's clocks change, to the quarter."""
    there, found, day = ZoneInfo(zone), [], FIRST
    while day < LAST:
        following = day + timedelta(days=1)
        if day.astimezone(there).utcoffset() != following.astimezone(there).utcoffset():
            offset = day.astimezone(there).utcoffset()
            found.append(
                next(at for at in quarters(day, following + QUARTER) if at.astimezone(there).utcoffset() != offset)
            )
        day = following
    return found


def used(at: Iterable[datetime], *, tenant_id: int = 1) -> int:
    """A bucket at each of these instants, each of another quantity; the sum of them."""
    rows = [
        Bucket(
            tenant_id=tenant_id, start=start, project_id=1, api_key_id=1, offering="a", deployment="d", billed=True,
            unit="output", quantity=3 * number + 1, updated_at=start,
        )
        for number, start in enumerate(at)
    ]  # fmt: skip
    Bucket.objects.bulk_create(rows)
    return sum(row.quantity for row in rows)


def by(name: str, zone: str, start: datetime, end: datetime) -> dict[object, int]:
    found = usage_rows(Question({1}, start, end, [name], zone=zone))
    return {total.group[name]: total.output_tokens or 0 for total in found}


@pytest.mark.parametrize("zone", sorted(zoneinfo.available_timezones()))
def test_the_offsets_of_every_zone_are_those_of_its_clocks(zone: str) -> None:
    there, found = ZoneInfo(zone), offsets(zone, FIRST, LAST)
    assert found[0].begun <= FIRST
    assert found[-1].ended == LAST
    assert all(before.ended == after.begun for before, after in pairwise(found))
    around = [
        at for change in changes(zone) for at in quarters(change - timedelta(hours=3), change + timedelta(hours=3))
    ]
    for at in [*around, FIRST, LAST - QUARTER]:
        (ahead,) = [offset.ahead for offset in found if offset.begun <= at < offset.ended]
        assert ahead == at.astimezone(there).utcoffset()


def test_some_zones_change_their_clocks_at_all() -> None:
    assert sum(bool(changes(zone)) for zone in zoneinfo.available_timezones()) > 100


def test_offsets_at_the_ends_of_time_are_no_trouble() -> None:
    always = [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 9, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 45, tzinfo=UTC),
    ]
    assert offsets("Pacific/Kiritimati", always[0], always[1])
    assert offsets("Pacific/Kiritimati", always[1], always[2])[-1].ahead == timedelta(hours=14)
    assert offsets("Pacific/Kiritimati", always[2], always[2]) == []


@pytest.mark.django_db
@pytest.mark.parametrize("zone", SAMPLE)
def test_the_sum_of_days_and_of_hours_is_the_month_in_a_zone_whose_clocks_change(zone: str) -> None:
    for change in changes(zone)[:2] or [datetime(2025, 3, 15, tzinfo=UTC)]:
        Bucket.objects.all().delete()
        there = ZoneInfo(zone)
        month = change.astimezone(there).date().replace(day=1)
        start, end = charge_period(month, "month", there)
        whole = used(quarters(start, end))
        used(quarters(start - timedelta(hours=30), start))
        used(quarters(end, end + timedelta(hours=30)))
        days, hours = by("day", zone, start, end), by("hour", zone, start, end)
        assert by("month", zone, start, end) == {month: whole}
        assert sum(days.values()) == sum(hours.values()) == whole
        assert {day.replace(day=1) for day in days if isinstance(day, date)} == {month}


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(days=1)])
@pytest.mark.parametrize("zone", SAMPLE)
def test_no_local_hour_or_day_begins_within_a_stretch(zone: str, step: timedelta) -> None:
    zones = [ZoneInfo(zone), ZoneInfo("Asia/Kathmandu"), ZoneInfo("UTC")]

    def told(at: datetime) -> list[tuple[date, int, timedelta | None]]:
        local = [at.astimezone(there) for there in zones]
        return [(clock.date(), clock.hour if step < DAY else 0, clock.utcoffset()) for clock in local]

    for change in changes(zone)[:2] or [datetime(2025, 3, 15, tzinfo=UTC)]:
        start, end = change - timedelta(hours=30), change + timedelta(hours=30)
        begun = stretches([there.key for there in zones], start, end, step)
        assert begun[0] <= start
        assert all(told(at) == told(begun[bisect_right(begun, at) - 1]) for at in quarters(start, end))


@pytest.mark.django_db
@pytest.mark.parametrize("cuts_max", [0, 10_000])
def test_tenants_of_different_zones_have_days_and_hours_of_their_own(
    cuts_max: int, alice: Person, mallory: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(totals, "CUTS_MAX", cuts_max)
    zones = {alice.tenant: "America/St_Johns", mallory.tenant: "Australia/Lord_Howe"}
    start, end = datetime(2025, 10, 4, tzinfo=UTC), datetime(2025, 10, 6, tzinfo=UTC)  # Lord Howe's clocks change.
    days, hours = Counter[tuple[object, object]](), Counter[tuple[object, object]]()
    for tenant, zone in zones.items():
        tenant.time_zone = zone
        tenant.save()
        used(quarters(start, end), tenant_id=tenant.pk)
        for number, at in enumerate(quarters(start, end)):
            days[tenant.slug, at.astimezone(ZoneInfo(zone)).date()] += 3 * number + 1
            hours[tenant.slug, begun_hour(at, ZoneInfo(zone))] += 3 * number + 1
    for name, expected in (("day", days), ("hour", hours)):
        rows = usage_rows(Question(None, start, end, ["tenant", name]))
        assert {(row.group["tenant"], row.group[name]): row.output_tokens for row in rows} == expected


def begun_hour(at: datetime, there: ZoneInfo) -> datetime:
    """The first quarter of the local hour that `at` is in, or of its part behind a change of the clocks."""
    local = at.astimezone(there)
    before = (at - QUARTER).astimezone(there)
    same = (before.hour, before.utcoffset()) == (local.hour, local.utcoffset())
    return begun_hour(at - QUARTER, there) if same else at


@pytest.mark.django_db
@pytest.mark.parametrize("zone", SAMPLE)
def test_charge_periods_meet_and_cover_a_change_of_the_clocks_without_a_gap(zone: str) -> None:
    there = ZoneInfo(zone)
    for change in changes(zone)[:2]:
        start, end = change - timedelta(hours=50), change + timedelta(hours=50)
        Bucket.objects.all().delete()
        used(quarters(start, end))
        for name in ("quarter", "hour", "day"):
            periods = [charge_period(begun, name, there) for begun in by(name, zone, start, end)]
            assert periods[0][0] <= start
            assert periods[-1][1] >= end
            assert all(before[1] == after[0] for before, after in pairwise(periods))


@pytest.mark.django_db
def test_the_half_hour_that_lord_howe_repeats_is_an_hour_of_its_own() -> None:
    change = datetime(2025, 4, 5, 15, 0, tzinfo=UTC)  # 02:00 there, which becomes 01:30.
    assert change in changes("Australia/Lord_Howe")
    used(quarters(change - timedelta(hours=1), change + timedelta(hours=1, minutes=30)))
    hours = by("hour", "Australia/Lord_Howe", change - timedelta(hours=1), change + timedelta(hours=2))
    assert list(hours) == [change - timedelta(hours=1), change, change + timedelta(minutes=30)]


@pytest.mark.django_db
def test_the_day_that_apia_skipped_has_no_usage_and_the_days_beside_it_have_all() -> None:
    change = datetime(2011, 12, 30, 10, tzinfo=UTC)  # Midnight after the 29th, and the 31st began.
    whole = used(quarters(change - timedelta(days=1), change + timedelta(days=1)))
    days = by("day", APIA, change - timedelta(days=1), change + timedelta(days=1))
    assert list(days) == [date(2011, 12, 29), date(2011, 12, 31)]
    assert sum(days.values()) == whole
    assert charge_period(date(2011, 12, 29), "day", ZoneInfo(APIA))[1] == change
    assert charge_period(date(2011, 12, 31), "day", ZoneInfo(APIA))[0] == change


@given(st.dates(date(2025, 1, 1), date(2026, 12, 31)), st.timezone_keys().filter(lambda key: key != "Factory"))
@settings(deadline=None)
def test_a_day_ends_where_the_next_one_begins_in_every_zone(day: date, key: str) -> None:
    zone = ZoneInfo(key)
    start, end = charge_period(day, "day", zone)
    assert end == charge_period(day + timedelta(days=1), "day", zone)[0]
    assert timedelta(hours=21) < end - start < timedelta(hours=27)
    assert start.astimezone(zone).date() == day
    assert (end - timedelta(microseconds=1)).astimezone(zone).date() == day
