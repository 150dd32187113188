"""Valkey is emptied while gateways run: what they have is told anew, and Postgres says the rest."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import pytest
import redis

from billing.counters import begin
from billing.windows import BASE, BEGAN, RECOUNTED, Window, counter_key
from gateway.admission.counters import Counters
from gateway.admission.leases import Ask, Lease
from gateway.admission.recovery import Part
from gateway.admission.terms import Draws, Quota
from metering.segments import journal_id
from tests.gateway.admission.limiting import USED, budget, limited, snapshot, taken
from tests.gateway.admission.test_faults import die_unreported, journal_of
from tests.gateway.running import FixedSnapshots, Running, chat, post, running_gateway, until
from tests.gateway.upstreams import Upstream, completion, says, whole

KEY = counter_key("budget:1", Window(0, None))


async def ask(gateway: Running, times: int = 1) -> list[int]:
    return [(await post(gateway, chat(max_tokens=50))).status for _ in range(times)]


def identity(home: Path) -> UUID:
    found = journal_id(journal_of(home))
    assert found is not None
    return found


def sequence(gateway: Running) -> int:
    """Of the last record of a gateway's journal."""
    return len(gateway.records())


async def test_what_postgres_and_the_journal_know_makes_a_lost_counter_whole(
    home: Path, counters_url: str, store: "redis.Redis", upstream: Upstream
) -> None:
    upstream.answer = says(whole(completion()))
    async with limited(home, counters_url, upstream, budget(10**6)) as gateway:
        assert await ask(gateway, 2) == [200, 200]
        shipped = sequence(gateway)
        assert await ask(gateway, 3) == [200] * 3
        store.flushdb()
        await until(lambda: store.hlen(KEY))
        assert BASE not in store.hgetall(KEY), "only the office begins a counter"
        begin(store, KEY, 2 * USED, {identity(home): shipped})
        await until(lambda: taken(store)[0] == 5 * USED)
        assert await ask(gateway, 2) == [200, 200]
    assert taken(store) == (7 * USED, 0)


async def test_without_a_base_nothing_is_given_away_beyond_what_is_leased(
    home: Path, counters_url: str, store: "redis.Redis", upstream: Upstream
) -> None:
    upstream.answer = says(whole(completion()))
    async with limited(home, counters_url, upstream, budget(30 * USED)) as gateway:
        assert await ask(gateway) == [200]
        await until(lambda: taken(store) == (USED, 0))
        store.flushdb()
        refused = await post(gateway, chat(max_tokens=50))
        assert (refused.status, refused.error["code"]) == (503, "budget_not_counted")


async def test_what_runs_elsewhere_is_still_held_when_a_lost_counter_has_begun_again(
    home: Path, counters_url: str, store: "redis.Redis", upstream: Upstream
) -> None:
    goes_on = asyncio.Event()
    answer = says(whole(completion()))

    async def wait(*arguments: object) -> None:
        await goes_on.wait()
        await answer(*arguments)  # type: ignore[arg-type]

    upstream.answer = wait
    affords = budget(600)  # One request at its dearest, and not two.
    async with AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(limited(home / name, counters_url, upstream, affords)) for name in "ab"
        ]
        running = asyncio.create_task(post(one, chat(max_tokens=150)))
        await until(lambda: taken(store)[1] > 0)
        held = taken(store)[1]
        store.flushdb()
        await until(lambda: taken(store)[1] == held)
        begin(store, KEY, 0, {identity(home / "a"): 0})
        refused = await post(other, chat(max_tokens=150))
        assert refused.status in (429, 503), refused.body
        goes_on.set()
        assert (await running).status == 200
    assert taken(store) == (USED, 0)


async def test_a_gateway_that_died_unheard_adds_what_its_journal_holds_behind_the_base(
    home: Path, counters_url: str, store: "redis.Redis", upstream: Upstream
) -> None:
    upstream.answer = says(whole(completion()))
    async with limited(home, counters_url, upstream, budget(10**6)) as gateway:
        assert await ask(gateway, 2) == [200, 200]
        shipped = sequence(gateway)
        assert await ask(gateway, 3) == [200] * 3
        await die_unreported(gateway)
    store.flushdb()
    begin(store, KEY, 2 * USED, {identity(home): shipped})
    snapshots = FixedSnapshots(snapshot(upstream, budget(10**6)))
    async with running_gateway(home, snapshots, redis_url=counters_url):
        assert taken(store) == (5 * USED, 0)


async def test_where_the_journal_does_not_reach_back_usage_counts_twice_rather_than_not_at_all(
    home: Path, counters_url: str, store: "redis.Redis", upstream: Upstream
) -> None:
    upstream.answer = says(whole(completion()))
    async with limited(
        home, counters_url, upstream, budget(10**6), journal_segment_bytes_max=100, journal_fsync_ms=0
    ) as gateway:
        assert await ask(gateway, 4) == [200] * 4
        for path in sorted(journal_of(home).glob("*.journal"))[:-1]:
            path.unlink()
        store.flushdb()
        begin(store, KEY, 2 * USED, {identity(home): 4})
        await until(lambda: taken(store)[0] == (2 + 4) * USED)


@pytest.mark.parametrize(("life", "outcome"), [(RECOUNTED, "uncounted"), ("another", "spent")])
async def test_what_looks_spent_while_a_part_may_count_twice_is_only_not_counted(
    counters_url: str, store: "redis.Redis", life: str, outcome: str
) -> None:
    store.hset(KEY, mapping={BASE: "600", "elsewhere": f"{life} 0 600 0 9 0"})
    counters = Counters(counters_url, "journal", "life")
    lease = Lease(KEY, Quota("budget:1", Draws.TOKENS, 1000, "total", "this account"), Window(0, None), 0, 0)
    assert (await counters.take([Ask(lease, floor=100, need=100)], 0)).outcome == outcome
    await counters.close()


def test_a_base_that_is_there_stays_and_what_gateways_said_stays_beside_a_new_one(store: "redis.Redis") -> None:
    living, gone = UUID(int=1), UUID(int=2)
    store.hset(KEY, mapping={living.hex: "life 7 50 30 5 0", gone.hex: "life 9 40 20 6 0"})
    assert begin(store, KEY, 80, {living: 4})
    assert not begin(store, KEY, 90, {living: 5})
    assert store.hget(KEY, BASE) == "80"
    assert Part.read(str(store.hget(KEY, living.hex))) == Part(RECOUNTED, 50, 30, 4)
    assert store.smembers(f"tokenworks:journal:{living.hex}") == {KEY}
    assert begin(store, KEY, 120, {living: 9, gone: 8}, replaces=True, gone=gone.hex)
    assert store.hget(KEY, BASE) == "120"
    assert Part.read(str(store.hget(KEY, living.hex))) == Part(RECOUNTED, 50, 30, 9)
    assert Part.read(str(store.hget(KEY, gone.hex))) == Part(RECOUNTED, 0, 0, 8)
    assert not store.exists(BEGAN)


def test_what_a_gone_gateway_spent_and_never_shipped_stays_spent(store: "redis.Redis") -> None:
    gone = UUID(int=2)
    store.hset(KEY, mapping={BASE: "0", gone.hex: "life 9 40 20 6 0"})
    assert begin(store, KEY, 0, {}, replaces=True, gone=gone.hex)
    assert Part.read(str(store.hget(KEY, gone.hex))) == Part("life", 40, 0, 6)
