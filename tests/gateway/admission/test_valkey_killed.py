"""Valkey is killed with SIGKILL while requests come, and comes back with all that it knew."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from config import embedded
from tests.gateway.admission.limiting import USED, budget, limited, taken
from tests.gateway.running import Running, chat, post, until
from tests.gateway.upstreams import Upstream, completion, says, whole

LIMIT = 640_000  # A lease is worth a 64th of it, some 60 requests at their dearest.
CLIENTS = 4
PAUSE_S = 0.05  # So that the lease outlasts the second in which the gateway notices.


@pytest.fixture
def valkey(home: Path) -> Iterator[embedded.Valkey]:
    """A server of this test's own."""
    for folder in (home / "run", home / "log", embedded.sockets(home)):
        embedded.private_folder(folder)
    valkey = embedded.Valkey(home)
    valkey.start()
    yield valkey
    valkey.stop()


def kill(valkey: embedded.Valkey) -> None:
    with redis.Redis.from_url(embedded.redis_url(valkey.home)) as store:
        os.kill(store.info("server")["process_id"], signal.SIGKILL)


class Traffic:
    """Clients that ask all the time, and what they were told since `told` was last emptied."""

    def __init__(self, gateway: Running) -> None:
        self.served = 0
        self.told: Counter[str] = Counter()
        self._gateway = gateway
        self._stopping = False
        self._clients = [asyncio.create_task(self._ask()) for _ in range(CLIENTS)]

    async def _ask(self) -> None:
        while not self._stopping:
            answered = await post(self._gateway, chat(max_tokens=50))
            self.served += answered.status == 200
            self.told["served" if answered.status == 200 else answered.error["code"]] += 1
            await asyncio.sleep(PAUSE_S)

    async def until_told(self, what: str) -> None:
        self.told.clear()
        await until(lambda: self.told[what] >= CLIENTS)

    async def stop(self) -> None:
        """Wait for what is under way, so that what is served is known."""
        self._stopping = True
        await asyncio.gather(*self._clients)


@pytest.mark.parametrize("goes_on", [False, True])
async def test_a_budget_holds_while_valkey_is_killed_and_comes_back(
    home: Path, upstream: Upstream, valkey: embedded.Valkey, goes_on: bool
) -> None:
    upstream.answer = says(whole(completion()))
    url = embedded.redis_url(home)
    async with limited(home, url, upstream, budget(LIMIT), goes_on=goes_on) as gateway:
        traffic = Traffic(gateway)
        await traffic.until_told("served")
        await asyncio.to_thread(kill, valkey)
        upkeep = gateway.gateway._upkeep
        assert upkeep is not None
        await until(lambda: upkeep.away)
        leased = sum(lease.leased for lease in upkeep.ledger.all_leases())
        served = traffic.served
        await traffic.until_told("limits_unavailable")
        served_alone = traffic.served - served
        if goes_on:
            assert served_alone > 0, "the policy is to go on within the lease"
            assert served_alone * USED <= leased + CLIENTS * USED
        else:
            assert served_alone <= CLIENTS, "only what was let in before may still end"
        await asyncio.to_thread(valkey.start)
        await until(lambda: not upkeep.away)
        await traffic.until_told("served")
        await traffic.stop()
        await until(lambda: upkeep.ledger.leases(1)[0].held == 0)
    with redis.Redis.from_url(url, decode_responses=True) as store:
        spent, still_leased = taken(store)
    billed = sum(event.billed for event in gateway.events())
    assert traffic.served <= billed
    assert (spent, still_leased) == (billed * USED, 0)
    assert spent <= LIMIT
