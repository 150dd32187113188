"""A gateway that died, and counters that are away."""

import asyncio
from pathlib import Path

import pytest
import redis

from metering.reader import SEGMENTS_KEPT, JournalReader, Shipped
from metering.segments import segments
from tests.gateway.admission.limiting import USED, budget, limit, limited, snapshot, taken
from tests.gateway.running import FixedSnapshots, Running, chat, post, running_gateway
from tests.gateway.upstreams import Upstream, completion, says, whole
from tests.metering import samples
from tests.metering.journals import open_journal

NOWHERE = "unix:///nowhere/valkey.sock"


async def die_unreported(gateway: Running) -> None:
    """From now on it tells the counters nothing, not even that it stops."""
    upkeep = gateway.gateway._upkeep
    assert upkeep is not None
    assert upkeep._task is not None
    upkeep._task.cancel()
    await asyncio.gather(upkeep._task, return_exceptions=True)
    upkeep.away = True


async def test_after_a_crash_the_journal_says_what_was_spent_and_the_rest_comes_back(
    home: Path, counters_url: str, store: "redis.Redis", upstream: Upstream
) -> None:
    upstream.answer = says(whole(completion()))
    async with limited(home, counters_url, upstream, budget(10**6)) as gateway:
        for number in range(4):
            assert (await post(gateway, chat(max_tokens=50))).status == 200
            if number == 0:
                await die_unreported(gateway)
                gateway.gateway._upkeep.away = False  # type: ignore[union-attr]  # It goes on from its lease.
        await die_unreported(gateway)
    spent, leased = taken(store)
    assert spent + leased >= 4 * USED
    assert leased > 0
    async with limited(home, counters_url, upstream, budget(10**6)):
        assert taken(store) == (4 * USED, 0)


def journal_of(home: Path) -> Path:
    return home / "journal" / "gateway-1"


def die_unheard(home: Path) -> None:
    """A life that opens the journal and dies before it reaches the counters; then all is shipped and deleted."""
    journal = open_journal(journal_of(home))
    for event in (samples.opened(), samples.opened()):
        journal.append_opened(event)
    journal.close()
    last = segments(journal_of(home))[-1].first
    JournalReader(journal_of(home)).delete_shipped(Shipped(last - 1, 0))


async def test_a_lease_is_worked_out_though_the_journal_was_shipped_and_its_gateway_died_again(
    home: Path, counters_url: str, store: "redis.Redis", upstream: Upstream
) -> None:
    upstream.answer = says(whole(completion()))
    async with limited(
        home, counters_url, upstream, budget(10**6), journal_segment_bytes_max=100, journal_fsync_ms=0
    ) as gateway:
        for _ in range(2):
            assert (await post(gateway, chat(max_tokens=50))).status == 200
            await die_unreported(gateway)
            gateway.gateway._upkeep.away = False  # type: ignore[union-attr]  # It goes on from its lease.
        await die_unreported(gateway)
    assert taken(store)[1] > 0
    die_unheard(home)
    assert len(segments(journal_of(home))) > 2
    async with limited(home, counters_url, upstream, budget(10**6)):
        assert taken(store) == (2 * USED, 0)


async def test_where_the_journal_does_not_reach_back_the_whole_lease_counts_as_spent_and_is_said(
    home: Path, counters_url: str, store: "redis.Redis", upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.answer = says(whole(completion()))
    async with limited(home, counters_url, upstream, budget(10**6)) as gateway:
        assert (await post(gateway, chat(max_tokens=50))).status == 200
        await die_unreported(gateway)
    before, leased = sum(taken(store)), taken(store)[1]
    for _ in range(SEGMENTS_KEPT):
        die_unheard(home)
    async with limited(home, counters_url, upstream, budget(10**6)):
        assert taken(store) == (before, 0)
    assert f"All of {leased} leased of tokenworks:budget:1:0 counts as spent" in caplog.text


async def test_what_cannot_be_worked_out_counts_as_spent(
    home: Path, counters_url: str, store: "redis.Redis", upstream: Upstream
) -> None:
    upstream.answer = says(whole(completion()))
    async with limited(home, counters_url, upstream, budget(10**6)) as gateway:
        assert (await post(gateway, chat(max_tokens=50))).status == 200
        await die_unreported(gateway)
    before = sum(taken(store))
    async with limited(home, counters_url, upstream, limit(requests_per_minute=1), budget(10**6, name="budget:2")):
        assert taken(store) == (before, 0)


@pytest.mark.parametrize(("goes_on", "statuses"), [(False, [503, 503, 503]), (True, [200, 200, 429])])
async def test_without_counters_the_tenants_policy_decides(
    home: Path, upstream: Upstream, goes_on: bool, statuses: list[int]
) -> None:
    upstream.answer = says(whole(completion()))
    snapshots = FixedSnapshots(snapshot(upstream, limit(requests_per_minute=2), goes_on=goes_on))
    async with running_gateway(home, snapshots, redis_url=NOWHERE) as gateway:
        assert [(await post(gateway, chat(max_tokens=50))).status for _ in range(3)] == statuses
