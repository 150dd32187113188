"""What a process believes of the counters when an answer is lost, late, or says that somebody was quicker."""

import pytest
import redis

from billing.windows import BASE, Window
from gateway.admission.counters import Counters, CountersUnreachable
from gateway.admission.leases import Ask, Lease
from gateway.admission.recovery import Part
from gateway.admission.terms import Draws, Quota

BUDGET = Quota("budget:1", Draws.TOKENS, 1000, "total", "this account")
PARALLEL = Quota("limit:1:parallel", Draws.PARALLEL, 5, "", "this account")
KEY = "tokenworks:budget:1:0"


def lease_of(quota: Quota) -> Lease:
    return Lease(f"tokenworks:{quota.name}:0", quota, Window(0, None), 0, 0)


def said(store: "redis.Redis") -> tuple[int, int]:
    """Spent and leased."""
    part = Part.read(str(store.hget(KEY, "journal")))
    return part.spent, part.leased


async def test_after_a_lost_answer_the_counter_is_told_anew(
    counters_url: str, store: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    store.hset(KEY, BASE, "0")
    lease, counters = lease_of(BUDGET), Counters(counters_url, "journal", "life")
    answer = counters._run

    async def lose(keys: list[str], arguments: list[str | int]) -> None:
        await answer(keys, arguments)
        raise CountersUnreachable

    with monkeypatch.context() as patched:
        patched.setattr(counters, "_run", lose)
        with pytest.raises(CountersUnreachable):
            await counters.take([Ask(lease, floor=100, need=100)], 0)
    assert said(store) == (0, 100)
    assert not lease.is_reported
    await counters.take([Ask(lease)], 0)
    assert lease.reported == said(store) == (0, 0)
    await counters.close()


async def test_a_counter_that_cannot_be_reached_knows_nothing_for_sure() -> None:
    lease = lease_of(BUDGET)
    assert lease.is_reported
    with pytest.raises(CountersUnreachable):
        await Counters("unix:///nowhere/valkey.sock", "journal", "life").take([Ask(lease)], 0)
    assert not lease.is_reported


async def test_a_lease_that_was_forgotten_and_comes_back_is_not_late(counters_url: str) -> None:
    counters = Counters(counters_url, "journal", "life")
    outcomes = [(await counters.take([Ask(lease_of(PARALLEL))], 0)).outcome for _ in range(3)]
    again = lease_of(PARALLEL)
    outcomes.append((await counters.take([Ask(again, floor=1, need=1)], 0)).outcome)
    assert outcomes == ["taken"] * 4
    await counters.close()


async def test_an_earlier_lifes_part_is_taken_over_once(counters_url: str, store: "redis.Redis") -> None:
    store.hset(KEY, BASE, "0")
    earlier, counters = Counters(counters_url, "journal", "life-1"), Counters(counters_url, "journal", "life-2")
    await earlier.take([Ask(lease_of(BUDGET), floor=100, need=100)], 7)
    part = await counters.part_of(KEY)
    assert part is not None
    assert await counters.adopt(KEY, part, 60, 0, 9)
    lease = Lease(KEY, BUDGET, Window(0, None), 60, 0)
    await counters.take([Ask(lease, floor=50, need=50)], 9)
    assert not await counters.adopt(KEY, part, 60, 0, 9), "what was leased since would be forgotten"
    assert said(store)[1] >= 50
    await earlier.close()
    await counters.close()
