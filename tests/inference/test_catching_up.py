import logging
from datetime import datetime, timedelta

import pytest

from inference import catching_up, pool_hours
from inference.catching_up import LOOK_BACK, RECENT, allocate_due
from inference.models import HOUR, Pool, PoolHour
from inference.tasks import allocate_hours, allocate_recent_hours
from tests.inference.samples import NOON, Use


class Clock:
    """Says what time it is to everything in inference that asks."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(NOON + timedelta(minutes=20))
    for module in (catching_up, pool_hours):
        monkeypatch.setattr(module.timezone, "now", clock)
    return clock


def hours() -> list[datetime]:
    return list(PoolHour.objects.order_by("hour_start").values_list("hour_start", flat=True))


def test_the_running_hour_is_computed_at_once_and_again_when_it_is_over(pool: Pool, clock: Clock) -> None:
    assert allocate_due() == 1
    assert PoolHour.objects.get().provisional
    clock.now = NOON + timedelta(hours=1, minutes=1)
    assert allocate_due() == 2
    assert not PoolHour.objects.get(hour_start=NOON).provisional


def test_hours_without_usage_are_computed_since_the_pool_began(pool: Pool, clock: Clock) -> None:
    clock.now = NOON + timedelta(hours=5)
    allocate_due()
    assert hours() == [NOON + index * HOUR for index in range(6)]
    assert {row.allocated for row in PoolHour.objects.all()} == {0}


def test_nothing_is_due_twice(pool: Pool, clock: Clock) -> None:
    clock.now = NOON + timedelta(hours=5)
    allocate_due()
    assert allocate_due() == 0


def test_late_usage_makes_its_hour_due_again(pool: Pool, clock: Clock, use: Use) -> None:
    clock.now = NOON + timedelta(hours=5)
    allocate_due()
    clock.now += timedelta(minutes=30)
    use(72_000, updated_at=clock.now)
    assert allocate_due() == 1
    assert PoolHour.objects.get(hour_start=NOON).allocated > 0


def test_usage_that_was_being_folded_while_the_hour_was_computed_is_found(pool: Pool, clock: Clock, use: Use) -> None:
    clock.now = NOON + timedelta(hours=5)
    allocate_due()
    use(72_000, updated_at=clock.now - timedelta(minutes=10))  # Begun before, committed after.
    allocate_due()
    assert PoolHour.objects.get(hour_start=NOON).allocated > 0


def test_usage_of_other_pools_makes_nothing_due(pool: Pool, clock: Clock, use: Use) -> None:
    allocate_due()
    use(1, deployment="llama-at-paris", updated_at=clock.now)
    assert allocate_due() == 0


def test_the_look_back_is_bounded_and_the_gap_is_said(
    pool: Pool, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.now = NOON + LOOK_BACK + timedelta(days=1)
    with caplog.at_level(logging.WARNING):
        allocate_due()
    assert len(hours()) == 35 * 24 + 1
    assert [record.getMessage() for record in caplog.records] == [
        "Pool berlin: the hours from 2026-03-10 12:00:00+00:00 to 2026-03-11 12:00:00+00:00 "
        "were never computed and are out of reach."
    ]
    caplog.clear()
    clock.now += HOUR
    with caplog.at_level(logging.WARNING):
        allocate_due()
    assert caplog.records == []


def test_the_frequent_task_looks_at_recent_hours_only(pool: Pool, clock: Clock) -> None:
    clock.now = NOON + timedelta(days=2)
    allocate_recent_hours()
    assert hours() == [clock.now - RECENT + index * HOUR for index in range(4)]


def test_the_hourly_task_computes_what_is_left(pool: Pool, clock: Clock) -> None:
    clock.now = NOON + timedelta(days=2)
    allocate_recent_hours()
    allocate_hours()
    assert len(hours()) == 49


def test_a_pool_of_the_future_costs_nothing_yet(pool: Pool, clock: Clock) -> None:
    clock.now = NOON - timedelta(hours=2)
    assert allocate_due() == 0


def test_a_pool_that_fails_does_not_keep_others_from_being_computed(
    pool: Pool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Pool.objects.create(
        upstream=type(pool.upstream).objects.create(slug="paris", name="Paris"),
        hardware=pool.hardware,
        devices=1,
        input_ns_per_token=1,
        output_ns_per_token=1,
        created_at=NOON,
    )
    allocate_due()
    PoolHour.objects.filter(pool=pool).update(basis={}, computed_at=NOON - HOUR)
    PoolHour.objects.filter(pool=other).update(computed_at=NOON - HOUR)
    clock.now = NOON + HOUR
    with pytest.raises(ExceptionGroup) as failed:
        allocate_due()
    assert len(failed.value.exceptions) == 1
    assert "berlin" in failed.value.exceptions[0].__notes__[0]
    assert PoolHour.objects.get(pool=other, hour_start=NOON).computed_at == clock.now
