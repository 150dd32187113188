from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering import totals
from metering.models import Bucket
from metering.totals import NotOnAQuarter, TooManyGroups, UnknownGroup, UsageTotal, usage_totals
from metering.usage import INPUT_UNITS, OUTPUT_UNITS, Unit
from tests.conftest import Person

pytestmark = pytest.mark.django_db

NOON = datetime(2023, 11, 15, 12, tzinfo=UTC)
YEAR = (datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC))


def used(
    at: datetime, quantity: int, *, tenant_id: int = 1, unit: str = "output", offering: str = "a", billed: bool = True
) -> None:
    Bucket.objects.create(
        tenant_id=tenant_id,
        start=at,
        project_id=10,
        api_key_id=100,
        offering=offering,
        deployment="d",
        billed=billed,
        unit=unit,
        quantity=quantity,
        updated_at=at,
    )


def test_input_and_output_are_sums_of_their_units() -> None:
    quantities = {unit: quantity for quantity, unit in enumerate(Unit, start=1)}
    for unit, quantity in quantities.items():
        used(NOON, quantity, unit=unit)
    (total,) = usage_totals({1}, *YEAR)
    assert total.input_tokens == sum(quantities[unit] for unit in INPUT_UNITS)
    assert total.output_tokens == sum(quantities[unit] for unit in OUTPUT_UNITS)
    assert total.requests == quantities[Unit.REQUEST]


def test_what_nobody_reported_is_unknown_and_not_zero() -> None:
    used(NOON, 3, unit="request")
    (total,) = usage_totals({1}, *YEAR)
    assert (total.requests, total.input_tokens, total.output_tokens) == (3, None, None)


def test_no_usage_at_all_is_one_total_of_no_requests() -> None:
    assert usage_totals({1}, *YEAR) == [UsageTotal({}, {})]
    assert usage_totals({1}, *YEAR, ["day"]) == []


def test_only_the_given_tenants_are_counted() -> None:
    used(NOON, 1, tenant_id=1)
    used(NOON, 2, tenant_id=2)
    used(NOON, 4, tenant_id=3)
    asked: list[list[int] | None] = [[1], [1, 3], [], None]
    assert [usage_totals(ids, *YEAR)[0].output_tokens for ids in asked] == [1, 5, None, 7]


def test_the_end_is_not_included() -> None:
    used(NOON, 1)
    assert usage_totals({1}, NOON - timedelta(minutes=15), NOON)[0].units == {}
    assert usage_totals({1}, NOON, NOON + timedelta(minutes=15))[0].output_tokens == 1


def test_billed_usage_can_be_asked_for_alone() -> None:
    used(NOON, 1, billed=True)
    used(NOON, 2, billed=False)
    assert [usage_totals({1}, *YEAR, billed=flag)[0].output_tokens for flag in (None, True, False)] == [3, 1, 2]


def test_groups_are_named_and_in_order() -> None:
    used(NOON, 1, offering="b")
    used(NOON, 2, offering="a")
    assert usage_totals({1}, *YEAR, ["offering", "billed"]) == [
        UsageTotal({"offering": "a", "billed": True}, {"output": 2}),
        UsageTotal({"offering": "b", "billed": True}, {"output": 1}),
    ]


def test_tenants_and_projects_are_named_by_their_slugs(alice: Person) -> None:
    used(NOON, 1, tenant_id=alice.tenant.pk)
    Bucket.objects.update(project_id=alice.project.pk, api_key_id=alice.key.pk)
    (total,) = usage_totals(None, *YEAR, ["tenant", "project", "api_key"])
    assert total.group == {"tenant": "acme", "project": f"acme/{alice.project.slug}", "api_key": alice.key.pk}


def test_days_begin_at_the_tenants_midnight(alice: Person) -> None:
    used(datetime(2023, 11, 15, 22, 45, tzinfo=UTC), 1, tenant_id=alice.tenant.pk)
    used(datetime(2023, 11, 15, 23, 0, tzinfo=UTC), 2, tenant_id=alice.tenant.pk)
    by_day = {total.group["day"]: total.output_tokens for total in usage_totals(None, *YEAR, ["day"])}
    assert by_day == {date(2023, 11, 15): 1, date(2023, 11, 16): 2}
    in_utc = {total.group["day"]: total.output_tokens for total in usage_totals(None, *YEAR, ["day"], zone="UTC")}
    assert in_utc == {date(2023, 11, 15): 3}


def test_the_hour_that_a_clock_change_repeats_stays_two_hours() -> None:
    first = datetime(2023, 10, 29, 0, 15, tzinfo=UTC)  # 02:15 in Berlin, and an hour later 02:15 again.
    used(first, 1)
    used(first + timedelta(hours=1), 2)
    hours = usage_totals({1}, *YEAR, ["hour"], zone="Europe/Berlin")
    assert [(total.group["hour"], total.output_tokens) for total in hours] == [
        (datetime(2023, 10, 29, 0, tzinfo=UTC), 1),
        (datetime(2023, 10, 29, 1, tzinfo=UTC), 2),
    ]


def test_hours_of_a_zone_that_is_off_by_half_an_hour_begin_there() -> None:
    used(NOON + timedelta(minutes=15), 1)  # 17:45 in Kolkata.
    used(NOON + timedelta(minutes=30), 2)  # 18:00 there.
    hours = usage_totals({1}, *YEAR, ["hour"], zone="Asia/Kolkata")
    assert [total.group["hour"] for total in hours] == [
        NOON - timedelta(minutes=30),
        NOON + timedelta(minutes=30),
    ]


ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]


@pytest.mark.parametrize("month", [3, 10])
@pytest.mark.parametrize("zone", ZONES)
def test_the_sum_of_days_is_the_month_across_a_clock_change(zone: str, month: int) -> None:
    there = ZoneInfo(zone)
    start, end = (datetime(2023, number, 1, tzinfo=there) for number in (month, month + 1))
    at = datetime(2023, month, 1, tzinfo=UTC) - timedelta(days=2)
    quantity = 0
    while at < datetime(2023, month + 1, 3, tzinfo=UTC):
        quantity += 1
        used(at, quantity)
        at += timedelta(minutes=345)
    (whole,) = usage_totals({1}, start, end)
    days = usage_totals({1}, start, end, ["day"], zone=zone)
    hours = usage_totals({1}, start, end, ["hour"], zone=zone)
    assert sum(day.output_tokens or 0 for day in days) == whole.output_tokens
    assert sum(hour.output_tokens or 0 for hour in hours) == whole.output_tokens
    assert {day.group["day"].month for day in days} == {month}  # type: ignore[union-attr]  # Dates, all of them.


@given(cut=st.integers(0, 400), quantities=st.lists(st.integers(0, 10**15), min_size=1, max_size=10))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_time_is_the_sum_of_its_parts(cut: int, quantities: list[int]) -> None:
    Bucket.objects.all().delete()
    for number, quantity in enumerate(quantities):
        used(NOON + timedelta(minutes=15 * 37 * number), quantity)
    start, end = NOON, NOON + timedelta(minutes=15 * 400)
    middle = start + timedelta(minutes=15 * cut)
    parts = [usage_totals({1}, *bounds)[0].output_tokens or 0 for bounds in ((start, middle), (middle, end))]
    assert sum(parts) == sum(quantities)


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(UnknownGroup, match="colour is not one of tenant"):
        usage_totals({1}, *YEAR, ["colour"])


@pytest.mark.parametrize("late", [timedelta(minutes=1), timedelta(microseconds=1)])
def test_a_bound_within_a_quarter_is_refused(late: timedelta) -> None:
    with pytest.raises(NotOnAQuarter):
        usage_totals({1}, NOON, NOON + late)


def test_more_groups_than_the_limit_are_refused_and_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "GROUPS_MAX", 3)
    for number in range(3):
        used(NOON, 1, offering=f"model-{number}")
    assert len(usage_totals({1}, *YEAR, ["offering"])) == 3
    used(NOON, 1, offering="one too many")
    with pytest.raises(TooManyGroups, match="More than 3"):
        usage_totals({1}, *YEAR, ["offering"])
