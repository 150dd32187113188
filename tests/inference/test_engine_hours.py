"""What engines counted beside what our events say, by pool and hour."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.utils import timezone

from gateway.snapshot import build
from inference import engine_hours, engine_readings
from inference.models import HOUR, EngineHour, Pool, Worker, WorkerReading
from inference.pool_hours import start_of_hour
from inference.simulator.serving import serving
from inference.simulator.worker import SimulatedWorker
from metering import rollup
from metering.models import Alert
from metering.shipping import Shipper
from tests.gateway.running import (
    FixedSnapshots,
    chat,
    deployment,
    exchange,
    http_request,
    post,
    rows,
    running_gateway,
)
from tests.inference.samples import NOON, Use

pytestmark = pytest.mark.django_db

LATER = NOON + HOUR + timedelta(minutes=10)


@pytest.fixture
def worker(pool: Pool) -> Worker:
    return Worker.objects.create(pool=pool, base_url="http://127.0.0.1:9101", engine="vllm")


@pytest.fixture(autouse=True)
def tolerance(settings: Any) -> None:
    settings.TOKENWORKS_ENGINE_DRIFT_TOKENS = 1000


def read(worker: Worker, prompt: int, generation: int, *, at: datetime = NOON, minutes: int = 60) -> None:
    """Readings every 30 seconds, at the end of which so many tokens are counted that were not at their beginning."""
    steps = minutes * 2
    WorkerReading.objects.bulk_create(
        WorkerReading(
            worker=worker,
            at=at + timedelta(seconds=30 * step),
            prompt_tokens=prompt * step // steps,
            generation_tokens=generation * step // steps,
            engine="vLLM",
        )
        for step in range(steps + 1)
    )


def compared() -> EngineHour:
    assert engine_hours.compare_due(LATER) == 1
    return EngineHour.objects.get(hour_start=NOON)


def test_engines_and_events_that_agree_stand_side_by_side(worker: Worker, use: Use) -> None:
    read(worker, 7000, 3000)
    use(5000, unit="input_uncached")
    use(2000, unit="input_cached", billed=False)
    use(2500, unit="output")
    use(500, unit="reasoning")
    use(10, unit="request")
    hour = compared()
    assert (hour.engine_input, hour.our_input, hour.engine_output, hour.our_output) == (7000, 7000, 3000, 3000)
    assert (hour.drifts, hour.whole, hour.counters, hour.readings) == (False, True, "vLLM", 120)
    assert not Alert.objects.exists()


def test_usage_of_other_pools_and_hours_is_not_ours(worker: Worker, use: Use) -> None:
    read(worker, 0, 0)
    use(5000, deployment="elsewhere")
    use(5000, start=NOON + HOUR)
    use(5000, start=NOON - timedelta(minutes=15))
    assert compared().our_output == 0


@pytest.mark.parametrize(("ours", "found"), [(98_100, False), (97_900, True), (102_000, False), (102_100, True)])
def test_a_drift_over_the_tolerance_alerts_and_names_both_counts(
    worker: Worker, use: Use, ours: int, found: bool
) -> None:
    read(worker, 0, 100_000)
    use(ours)
    assert compared().drifts is found
    alerts = Alert.objects.filter(kind="engine_drift", subject="berlin 2026-03-10 12:00", resolved_at=None)
    assert alerts.exists() is found
    if found:
        assert "100,000" in alerts.get().message
        assert f"{ours:,}" in alerts.get().message


def test_few_tokens_are_no_drift(worker: Worker, use: Use) -> None:
    read(worker, 1000, 0)
    assert not compared().drifts


def test_late_usage_ends_the_drift_also_after_a_day(worker: Worker, use: Use) -> None:
    read(worker, 0, 100_000)
    assert compared().drifts
    use(100_000)
    engine_hours.compare_due(LATER + timedelta(days=1))
    assert not EngineHour.objects.get(hour_start=NOON).drifts
    assert Alert.objects.get(kind="engine_drift").resolved_at is not None


def test_an_hour_is_compared_when_its_usage_has_had_time_to_arrive(worker: Worker) -> None:
    read(worker, 0, 0)
    assert engine_hours.compare_due(NOON + HOUR + timedelta(minutes=4)) == 0
    assert engine_hours.compare_due(NOON + HOUR + timedelta(minutes=5)) == 1


def test_hours_that_nobody_compared_in_time_are_compared_later(worker: Worker) -> None:
    read(worker, 0, 0)
    read(worker, 0, 0, at=NOON + 20 * HOUR)
    assert engine_hours.compare_due(NOON + 22 * HOUR) == 21
    assert engine_hours.compare_due(NOON + 22 * HOUR) == 3  # The newest ones may still change.


def test_a_restart_is_counted_from_zero_and_named(worker: Worker, use: Use) -> None:
    read(worker, 0, 50_000, minutes=30)
    read(worker, 0, 30_000, at=NOON + timedelta(minutes=30, seconds=30), minutes=29)
    use(80_000)
    hour = compared()
    assert (hour.engine_output, hour.restarts, hour.drifts) == (80_000, 1, False)


def test_an_hour_with_a_gap_says_so_and_is_not_held_against_events(worker: Worker, use: Use) -> None:
    read(worker, 0, 50_000, minutes=20)
    use(100_000)
    hour = compared()
    assert (hour.whole, hour.drifts, hour.gap_s) == (False, False, 40 * 60)
    alert = Alert.objects.get()
    assert (alert.kind, alert.subject) == ("engine_unread", "berlin")
    assert "40 minutes" in alert.message


def test_a_pool_that_is_read_again_is_no_alert_any_more(worker: Worker) -> None:
    read(worker, 0, 0, minutes=20)
    compared()
    WorkerReading.objects.all().delete()
    read(worker, 0, 0, minutes=120)
    for _ in range(2):
        engine_hours.compare_due(LATER + HOUR)
    assert Alert.objects.get(kind="engine_unread").resolved_at is not None


def test_a_reading_with_a_problem_is_no_count(worker: Worker) -> None:
    read(worker, 0, 50_000)
    WorkerReading.objects.filter(at__gt=NOON + timedelta(minutes=50)).update(
        prompt_tokens=None, generation_tokens=None, problem="ConnectError: refused"
    )
    hour = compared()
    assert (hour.readings, hour.gap_s) == (100, 600)


def test_all_workers_of_the_pool_count_and_one_that_left_in_the_hour_too(worker: Worker, use: Use) -> None:
    read(worker, 7000, 3000)
    other = Worker.objects.create(pool=worker.pool, base_url="http://127.0.0.1:9102", engine="vllm", enabled=False)
    read(other, 700, 300)
    hour = compared()
    assert (hour.engine_input, hour.engine_output, hour.workers, hour.whole) == (7700, 3300, 2, True)


T = TypeVar("T")


async def in_thread(deed: Callable[..., T], *given: object) -> T:
    """The ORM is for threads, each with a connection of its own."""

    def run() -> T:
        try:
            return deed(*given)
        finally:
            connection.close()

    return await asyncio.to_thread(run)


def enter(pool: Pool, url: str) -> None:
    Worker.objects.get_or_create(pool=pool, base_url=url, engine="simulator")


def compare_both(pool: Pool, began: datetime) -> tuple[int, int, int, int]:
    """Differences of input and output, restarts and our output, over the hour in which the test began and the next."""
    hours = [engine_hours.compare(pool, start_of_hour(began) + index * HOUR, timezone.now()) for index in range(2)]
    return (
        sum(hour.input_difference for hour in hours),
        sum(hour.output_difference for hour in hours),
        sum(hour.restarts for hour in hours),
        sum(hour.our_output for hour in hours),
    )


@pytest.mark.django_db(transaction=True)
async def test_traffic_through_a_gateway_is_what_a_real_engine_counted_and_a_stranger_is_the_difference(
    pool: Pool, home: Path
) -> None:
    """The engine is restarted in between, and is used by somebody past the gateway in the end."""
    began, port = timezone.now(), 0
    for answers in (3, 2):
        async with serving(SimulatedWorker("model-at-worker"), port=port) as url:
            port = urlsplit(url).port or 0
            await in_thread(enter, pool, url)
            assert await in_thread(engine_readings.read_all) == 1
            snapshot = build(rows(url, deployments=[deployment("llama-at-berlin")]))
            async with running_gateway(home, FixedSnapshots(snapshot)) as gateway:
                for number in range(answers):
                    assert (await post(gateway, chat(stream=bool(number % 2), max_tokens=50))).status == 200
            assert await in_thread(engine_readings.read_all) == 1
            if answers == 2:
                stranger = json.dumps({**chat(max_tokens=50), "model": "model-at-worker"}).encode()
                answered = await exchange(port, http_request(stranger, key=None))
                used = answered.json["usage"]
                assert await in_thread(engine_readings.read_all) == 1

    def settle() -> tuple[int, int, int, int]:
        shipper = Shipper(home / "journal", records_max=1000, after_commit=lambda: None)
        assert sum(batch.events for batch in shipper.ship_round()) == 5
        rollup.fold_everything()
        return compare_both(pool, began)

    input_more, output_more, restarts, ours = await in_thread(settle)
    assert ours > 0
    assert (input_more, output_more) == (used["prompt_tokens"], used["completion_tokens"])
    assert restarts == 1
