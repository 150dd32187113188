"""Counters that Valkey lost are begun again from the buckets; a gateway that is gone for good holds nothing."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import redis
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing import budgets
from billing.counters import began_ms, counters, reached
from billing.windows import BASE, BEGAN, RECOUNTED, Window, counter_key, window_at
from metering.models import Batch
from tenants.models import Budget
from tests.billing.test_budgets import new_budget, use
from tests.conftest import Person

LIVING, GONE = UUID(int=1), UUID(int=2)


@pytest.fixture
def store(settings: Any, worker_id: str) -> Iterator["redis.Redis"]:
    settings.REDIS_URL += f"?db={1 + int(worker_id.removeprefix('gw')) % 8 if worker_id != 'master' else 9}"
    with counters() as store:
        began_ms(store)
        yield store
        store.flushdb()


@pytest.fixture
def budget(priced: Person) -> Budget:
    """One that gateways have long heeded."""
    return new_budget(priced, window="month", created_at=timezone.now() - timedelta(hours=1))


def key_of(budget: Budget) -> str:
    since_s = int(budget.created_at.timestamp())
    window = window_at(budget.window, budget.tenant.time_zone, since_s, timezone.now())
    return counter_key(f"budget:{budget.pk}", window)


def shipped(journal: UUID, last: int, *, folded: bool = True, name: str = "gateway-1") -> None:
    before = Batch.objects.filter(journal_id=journal).order_by("-last").values_list("last", flat=True).first() or 0
    now = timezone.now()
    Batch.objects.create(
        journal_id=journal, journal_name=name, first=before + 1, last=last, last_checksum=0, events=0, duplicates=0,
        committed_at=now, folded_at=now if folded else None,
    )  # fmt: skip


def lose(store: "redis.Redis", ago_s: int) -> None:
    """Valkey lost all, so long ago, but for what gateways have said since."""
    store.flushdb()
    store.set(BEGAN, began_ms(store)[1] - ago_s * 1000)


def command(*options: str) -> str:
    printed = io.StringIO()
    call_command("budget_leases", *options, stdout=printed)
    return printed.getvalue()


def test_a_lost_counter_begins_again_when_gateways_had_the_time_to_say_what_they_have(
    priced: Person, budget: Budget, store: "redis.Redis"
) -> None:
    use(priced, timezone.now(), 300)
    shipped(LIVING, 40)
    lose(store, budgets.SETTLED_AFTER_S - 2)
    budgets.count_all()
    assert BASE not in store.hgetall(key_of(budget))
    store.hset(key_of(budget), LIVING.hex, "life 7 350 30 44 0")
    lose_longer = began_ms(store)[1] - budgets.SETTLED_AFTER_S * 1000
    store.set(BEGAN, lose_longer)
    budgets.count_all()
    assert store.hgetall(key_of(budget)) == {BASE: "300", LIVING.hex: f"{RECOUNTED} 0 350 30 40 0"}


def test_a_window_that_began_before_its_counter_leaves_to_gateways_what_their_journals_hold(
    priced: Person, store: "redis.Redis"
) -> None:
    budget = new_budget(priced, window="month", created_at=timezone.now() - timedelta(days=40))
    store.set(BEGAN, 1)
    use(priced, timezone.now(), 300)
    shipped(LIVING, 40)
    store.hset(key_of(budget), LIVING.hex, "life 7 350 30 44 0")
    budgets.count_all()
    assert store.hgetall(key_of(budget)) == {BASE: "300", LIVING.hex: f"{RECOUNTED} 0 350 30 40 0"}


def test_a_new_budget_waits_for_nothing(priced: Person, store: "redis.Redis") -> None:
    budget = new_budget(priced)
    budgets.count_all()
    assert store.hget(key_of(budget), BASE) == "0"


def test_a_lost_counter_in_total_counts_the_quarter_in_which_it_was_made_too(
    priced: Person, store: "redis.Redis"
) -> None:
    made = datetime(2026, 3, 4, 12, 7, tzinfo=UTC)
    budget = new_budget(priced, window="total", created_at=made)
    use(priced, made - timedelta(minutes=30), 1)
    use(priced, made.replace(minute=0), 20)
    use(priced, made + timedelta(hours=1), 300)
    lose(store, 60)
    budgets.count_all()
    assert store.hget(key_of(budget), BASE) == "320"


def test_what_is_shipped_and_not_folded_is_left_to_the_gateways_journal(db: None, store: "redis.Redis") -> None:
    shipped(LIVING, 10)
    shipped(LIVING, 20, folded=False)
    shipped(LIVING, 30)
    shipped(GONE, 7)
    assert reached(Window(0, None)) == {LIVING: 10, GONE: 7}
    assert reached(Window(int(timezone.now().timestamp()) + 60, None)) == {}


def test_a_gateway_that_is_gone_for_good_holds_nothing_when_all_is_counted_anew(
    priced: Person, budget: Budget, store: "redis.Redis"
) -> None:
    use(priced, timezone.now(), 300)
    shipped(LIVING, 40)
    shipped(GONE, 90, name="node-7")
    store.hset(key_of(budget), mapping={BASE: "0", LIVING.hex: "life 7 200 30 44 0", GONE.hex: "life 3 60 500 88 0"})
    began = store.get(BEGAN)
    assert f"{GONE.hex}  node-7  shipped until" in command()
    assert command("--gone", "node-7").startswith("1 budgets are counted anew.")
    assert store.hgetall(key_of(budget)) == {
        BASE: "300", LIVING.hex: f"{RECOUNTED} 0 200 30 40 0", GONE.hex: f"{RECOUNTED} 0 0 0 90 0",
    }  # fmt: skip
    assert store.get(BEGAN) != began, "gateways would not say anew what they have"
    assert GONE.hex not in command()


def test_a_journal_that_never_shipped_is_known_by_its_id(budget: Budget, store: "redis.Redis") -> None:
    store.hset(key_of(budget), mapping={BASE: "0", GONE.hex: "life 3 60 500 88 0"})
    assert f"{GONE.hex}  ?  unshipped  leases of 1 budgets" in command()
    assert GONE.hex not in command("--gone", GONE.hex)
    assert store.hget(key_of(budget), GONE.hex) == "life 0 60 0 88 0"


def test_a_name_that_several_journals_had_is_refused_with_their_ids(db: None, store: "redis.Redis") -> None:
    shipped(LIVING, 1)
    shipped(GONE, 1)
    with pytest.raises(CommandError, match=LIVING.hex):
        command("--gone", "gateway-1")
    with pytest.raises(CommandError, match="Of that name: none"):
        command("--gone", "nobody")
