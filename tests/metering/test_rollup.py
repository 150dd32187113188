import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Event as Flag
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering import rollup, tasks
from metering.models import Backfill, Batch, Bucket, Event
from metering.usage import REPORTED_UNITS, Outcome, Usage
from tests.metering import samples
from tests.metering.conftest import Factory
from tests.metering.threads import at_once
from tests.waiting import until

pytestmark = pytest.mark.django_db

NOON = datetime(2023, 11, 15, 12, tzinfo=UTC)
DAY = (NOON - timedelta(hours=12), NOON + timedelta(hours=12))
MINUTE_US = 60_000_000


def units_by_bucket() -> dict[tuple[datetime, str], int]:
    return {(bucket.start, bucket.unit): bucket.quantity for bucket in Bucket.objects.all()}


def test_events_of_a_quarter_are_summed_by_unit_with_their_number(factory: Factory) -> None:
    factory.serve(2, at_us=samples.NOON_US)
    factory.serve(1, at_us=samples.NOON_US + 15 * MINUTE_US - 1)
    factory.serve(1, at_us=samples.NOON_US + 15 * MINUTE_US)
    factory.ship()
    assert rollup.fold_everything() > 0
    later = NOON + timedelta(minutes=15)
    assert units_by_bucket() == {
        (NOON, "input_uncached"): 21,
        (NOON, "output"): 9,
        (NOON, "request"): 3,
        (later, "input_uncached"): 7,
        (later, "output"): 3,
        (later, "request"): 1,
    }


def test_what_was_reported_as_zero_is_kept_and_what_was_not_reported_is_not_there(factory: Factory) -> None:
    factory.gateway.append_opened(opened := samples.opened())
    factory.gateway.append_closed(samples.closed(opened, usage=Usage(output=0)))
    factory.ship()
    rollup.fold_everything()
    assert {unit: quantity for (_, unit), quantity in units_by_bucket().items()} == {"output": 0, "request": 1}


def test_grades_and_tiers_of_service_are_kept_apart(factory: Factory) -> None:
    for grade, tier in (("", "standard"), ("grounded", "standard"), ("", "batch")):
        factory.gateway.append_opened(opened := samples.opened(service_tier=tier))
        factory.gateway.append_closed(samples.closed(opened, grade=grade))
    factory.ship()
    rollup.fold_everything()
    found = Bucket.objects.filter(unit="output").values_list("grade", "service_tier", "quantity")
    assert set(found) == {("", "standard", 3), ("grounded", "standard", 3), ("", "batch", 3)}


def test_an_event_that_is_taken_away_leaves_nothing_in_its_bucket(factory: Factory) -> None:
    factory.serve(2)
    factory.ship()
    rollup.fold_everything()
    wrong = Event.objects.all()[0]
    batch = Batch.objects.create(kind=Batch.Kind.CORRECTION, events=1, duplicates=0, committed_at=datetime.now(UTC))
    corrects, wrong.id, wrong.batch_id, wrong.sign = wrong.id, uuid.uuid4(), batch.pk, -1
    wrong.corrects = corrects
    wrong.save(force_insert=True)
    rollup.fold_everything()
    assert units_by_bucket() == {(NOON, "input_uncached"): 7, (NOON, "output"): 3, (NOON, "request"): 1}
    assert rollup.differences(*DAY) == []


def test_what_a_backfill_holds_back_is_counted_when_it_is_let_go(factory: Factory) -> None:
    factory.serve(1)
    factory.ship()
    backfill = Backfill.objects.create(tenant_id=1, name="october", created_at=datetime.now(UTC))
    Batch.objects.update(backfill=backfill, held=True)
    assert rollup.fold_everything() == 0
    Batch.objects.update(held=False)
    assert rollup.fold_everything() == 1


def test_billed_and_unbilled_usage_are_kept_apart(factory: Factory) -> None:
    factory.serve(1)
    factory.gateway.append_opened(opened := samples.opened())
    factory.gateway.append_closed(samples.closed(opened, outcome=Outcome.UPSTREAM_FAILED))
    factory.ship()
    rollup.fold_everything()
    assert set(Bucket.objects.filter(unit="output").values_list("billed", "quantity")) == {(True, 3), (False, 3)}


def test_a_batch_is_folded_once(factory: Factory) -> None:
    factory.serve(2)
    factory.ship()
    assert rollup.fold_batches() == 1
    assert rollup.fold_batches() == 0
    assert Batch.objects.get().folded_at is not None
    assert Bucket.objects.get(unit="request").quantity == 2


def test_later_batches_are_added_to_the_same_buckets(factory: Factory) -> None:
    for _ in range(3):
        factory.serve(2)
        factory.ship()
        rollup.fold_everything()
    assert Bucket.objects.get(unit="request").quantity == 6


def test_a_fold_takes_no_more_batches_than_it_is_told(factory: Factory) -> None:
    factory.shipper = factory.new_shipper(records_max=2)
    factory.serve(5)
    factory.ship()
    assert rollup.fold_batches(limit=2) == 2
    assert rollup.fold_everything() == 3


@pytest.mark.django_db(transaction=True)
def test_folders_at_once_neither_double_nor_lock_each_other_out(factory: Factory) -> None:
    factory.shipper = factory.new_shipper(records_max=8)
    for number in range(100):
        factory.serve(2, offering=f"model-{number * 7 % 10}", tenant_id=number * 3 % 5 + 1)
    factory.ship()
    at_once(*[lambda: sum(rollup.fold_batches(limit=2) for _ in range(30))] * 4)
    rollup.fold_everything()
    assert Bucket.objects.filter(unit="request").aggregate(Sum("quantity")) == {"quantity__sum": 200}
    assert rollup.differences(*DAY) == []


@pytest.mark.django_db(transaction=True)
def test_a_folder_that_dies_leaves_its_batches_to_the_next(factory: Factory) -> None:
    factory.serve(3)
    factory.ship()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE metering_bucket ADD CONSTRAINT in_the_way CHECK (unit <> 'request')")
        try:
            with pytest.raises(Exception, match="in_the_way"):
                rollup.fold_batches()
        finally:
            cursor.execute("ALTER TABLE metering_bucket DROP CONSTRAINT in_the_way")
    assert not Bucket.objects.exists()
    assert rollup.fold_batches() == 1
    assert Bucket.objects.get(unit="request").quantity == 3


served = st.lists(
    st.tuples(
        st.integers(0, 40),  # minutes
        st.integers(1, 2),  # tenant
        st.sampled_from(["a", "b"]),  # offering
        st.builds(Usage, *[st.none() | st.integers(0, 10**12)] * len(REPORTED_UNITS)),
        st.sampled_from(list(Outcome)),
        st.booleans(),  # fold now
    ),
    max_size=12,
)


@given(served)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_rebuild_from_events_gives_the_same_buckets(factory: Factory, given_requests: list[tuple]) -> None:  # type: ignore[type-arg]  # As drawn above.
    for minutes, tenant, offering, usage, outcome, fold_now in given_requests:
        opened = samples.opened(at_us=samples.NOON_US + minutes * MINUTE_US, tenant_id=tenant, offering=offering)
        factory.gateway.append_opened(opened)
        factory.gateway.append_closed(samples.closed(opened, usage=usage, outcome=outcome))
        if fold_now:
            factory.ship()
            rollup.fold_everything()
    factory.ship()
    rollup.fold_everything()
    assert rollup.differences(*DAY) == []
    for unit in REPORTED_UNITS:
        by_events = Event.objects.aggregate(total=Sum(unit))["total"]
        assert Bucket.objects.filter(unit=unit).aggregate(total=Sum("quantity"))["total"] == by_events


def test_events_that_are_not_folded_yet_are_no_difference(factory: Factory) -> None:
    factory.serve(2)
    factory.ship()
    assert rollup.differences(*DAY) == []


def test_a_bucket_that_was_tampered_with_is_found(factory: Factory) -> None:
    factory.serve(2)
    factory.ship()
    rollup.fold_everything()
    Bucket.objects.filter(unit="output").update(quantity=F("quantity") + 1)
    Bucket.objects.filter(unit="request").delete()
    found = rollup.differences(*DAY)
    assert [(difference.unit, difference.by_events, difference.by_buckets) for difference in found] == [
        ("output", 6, 7),
        ("request", 2, None),
    ]


def test_an_event_that_was_lost_is_found(factory: Factory) -> None:
    factory.serve(1)
    factory.ship()
    rollup.fold_everything()
    Event.objects.all().delete()
    assert {difference.by_events for difference in rollup.differences(*DAY)} == {None}


class Crash(BaseException):
    """The process dies here, so to speak."""


@pytest.mark.django_db(transaction=True)
def test_a_fold_that_dies_at_any_statement_has_folded_all_or_nothing(factory: Factory) -> None:
    expected = 0
    for number in range(1, 50):
        factory.serve(2)
        factory.ship()
        expected += 2
        told: list[str] = []

        def die(run: Callable[..., Any], sql: str, *rest: Any, told: list[str] = told, number: int = number) -> Any:
            told.append(sql)
            if len(told) == number:
                raise Crash
            return run(sql, *rest)

        with connection.execute_wrapper(die), suppress(Crash):
            rollup.fold_everything()
        rollup.fold_everything()
        assert Bucket.objects.get(unit="request").quantity == expected
        if len(told) < number:
            break
    assert number > 4
    assert rollup.differences(*DAY) == []


@pytest.mark.django_db(transaction=True)
def test_tasks_that_come_twice_and_in_any_order_fold_each_batch_once(factory: Factory) -> None:
    """A message of Celery names no batch, so one more, one less and any order of them are all the same."""
    factory.shipper = factory.new_shipper(records_max=4)

    def ship_and_tell() -> None:
        for _ in range(20):
            factory.serve(2)
            factory.ship()

    at_once(ship_and_tell, *[lambda: [tasks.fold() for _ in range(30)]] * 3)
    for _ in range(2):
        tasks.fold.apply()
    assert Bucket.objects.get(unit="request").quantity == 40
    assert not Batch.objects.filter(folded_at=None).exists()
    assert rollup.differences(*DAY) == []


@pytest.mark.django_db(transaction=True)
def test_folders_of_one_hot_key_wait_for_each_other_and_do_not_lock_each_other_out(factory: Factory) -> None:
    """Each batch holds the same keys, in an order of its own: only the order of writing keeps folders apart."""
    factory.shipper = factory.new_shipper(records_max=20)
    for number in range(24):
        keys = list(range(10)) if number % 2 else list(reversed(range(10)))
        for key in keys:
            factory.serve(1, api_key_id=key)
    factory.ship()
    folded = at_once(*[lambda: sum(rollup.fold_batches(limit=1) for _ in range(12))] * 4)
    assert sum(folded) <= 24  # type: ignore[arg-type]  # Numbers, all of them.
    rollup.fold_everything()
    found = Bucket.objects.filter(unit="request").values_list("api_key_id", "quantity")
    assert dict(found) == dict.fromkeys(range(10), 24)


@pytest.mark.django_db(transaction=True)
def test_a_folder_that_is_killed_lets_go_of_what_it_claimed(factory: Factory) -> None:
    """Its connection ends within the transaction, as when the process is killed; others fold meanwhile."""
    factory.shipper = factory.new_shipper(records_max=2)
    for key in range(4):  # Of the same key, the others would wait for the one that dies.
        factory.serve(1, api_key_id=key)
    factory.ship()
    claimed, killed = Flag(), Flag()

    def die() -> None:
        with suppress(InterfaceError, OperationalError), transaction.atomic():
            rollup.fold_batches(limit=2)
            claimed.set()
            assert killed.wait(30)
            connection.connection.close()

    def fold_the_rest() -> None:
        assert claimed.wait(30)
        try:
            assert rollup.fold_batches() == 2
            assert rollup.fold_batches() == 0
        finally:
            killed.set()

    at_once(die, fold_the_rest)
    until(lambda: rollup.fold_everything() + Batch.objects.filter(folded_at=None).count() == 2, "claims end")
    assert list(Bucket.objects.filter(unit="request").values_list("quantity", flat=True)) == [1, 1, 1, 1]


def test_late_events_reach_the_bucket_of_their_own_time(factory: Factory) -> None:
    factory.serve(1, at_us=samples.NOON_US + 60 * MINUTE_US)
    factory.ship()
    rollup.fold_everything()
    factory.serve(2, at_us=samples.NOON_US - 40 * 24 * 60 * MINUTE_US)
    factory.ship()
    rollup.fold_everything()
    found = {start: quantity for (start, unit), quantity in units_by_bucket().items() if unit == "request"}
    assert found == {NOON + timedelta(hours=1): 1, NOON - timedelta(days=40): 2}
