"""Drains a hard budget through several gateway processes while they are killed, and holds the bill against it."""

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

import redis

from config import embedded
from tests.stories.books import PRICES
from tests.stories.clients import Ask, Received, UnderWay, drain
from tests.stories.copy_of_tokenworks import ROOT, START_TIMEOUT_S, Copy, environment
from tests.stories.gateways import GatewayProcess
from tests.waiting import until

CLIENTS, GATEWAYS, AFFORDED = 64, 4, 100
KILLS, KILL_EVERY_S, LOOK_EVERY_S = 8, 0.6, 0.02
AT_WORK_S = 0.2  # Refusals take less, so who has had a request for that long has most likely passed it to its engine.
LOSE_AFTER_S = 0.6
DRAIN_TIMEOUT_S = 90
WORDS, OUTPUT_TOKENS = 20, 100
MODEL = "simulated-70b"
PRICE = (
    WORDS * PRICES[MODEL, "input_uncached"] + OUTPUT_TOKENS * PRICES[MODEL, "output"]
) / 1_000_000  # Of a request, USD.
NANO = 10**9


@dataclass(frozen=True)
class Drained:
    """What came of one run. Money in USD: what the events bill, what the counter says was used and is still leased."""

    received: Received
    kills: int
    billed_ids: frozenset[str]
    interrupted: int
    billed: Decimal
    counted: Decimal
    leased: Decimal

    @property
    def limit(self) -> Decimal:
        return AFFORDED * PRICE

    def assert_within_budget(self) -> None:
        assert self.billed <= self.limit, f"{self.billed - self.limit} more than the budget was billed: {self}"
        assert self.billed <= self.counted <= self.limit, self
        assert self.leased == 0, self
        assert set(self.received.answered) <= self.billed_ids, "an answer was given away"
        assert self.billed > self.limit / 2, f"too little was served to tell: {self}"

    def __str__(self) -> str:
        return (
            f"{len(self.billed_ids)} requests billed, {self.billed / self.limit:.2%} of the budget;"
            f" {self.counted / self.limit:.2%} counted; {self.kills} kills, {self.interrupted} interrupted;"
            f" clients: {len(self.received.answered)} answered, {dict(self.received.else_)}"
        )


def drained(copy: Copy, gateways: Sequence[GatewayProcess], *, streamed: bool, counters_lost: bool = False) -> Drained:
    """One run: a fresh budget that affords AFFORDED requests, and CLIENTS that ask until it is spent.

    Meanwhile gateways are killed in turn, or Valkey loses all that it knows.
    """
    entered = enter_budget(copy)
    ask = Ask(entered["secret"], MODEL, streamed, WORDS, OUTPUT_TOKENS)
    for gateway in gateways:
        until(partial(knows, gateway.port, ask.secret), "the key is known", START_TIMEOUT_S, every_s=0.1)
    received, kills = asyncio.run(
        drain_with_loss(copy, gateways, ask) if counters_lost else drain_under_fire(gateways, ask)
    )
    until(lambda: leased(copy, entered["budget_id"]) == 0, "every lease is given back", START_TIMEOUT_S, every_s=0.1)
    copy.wait_until_counted()
    return account(copy, entered, received, kills)


def enter_budget(copy: Copy) -> dict[str, str]:
    """A fresh project of the first tenant with a budget and a key."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.stories.enter_budget", copy.tenants[0].slug, str(AFFORDED * PRICE)],
        cwd=ROOT,
        env=environment(copy.home, copy.port),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    entered: dict[str, str] = json.loads(done.stdout)
    return entered


def knows(port: int, secret: str) -> bool:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/models", headers={"Authorization": f"Bearer {secret}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


async def drain_under_fire(gateways: Sequence[GatewayProcess], ask: Ask) -> tuple[Received, int]:
    """Kill gateways in the middle of their work while the clients ask; return how often, too."""
    under_way = UnderWay()
    clients = asyncio.create_task(drain([gateway.port for gateway in gateways], ask, CLIENTS, under_way))
    kills = 0
    async with asyncio.timeout(DRAIN_TIMEOUT_S):
        while kills < KILLS and not clients.done():
            await asyncio.wait([clients], timeout=LOOK_EVERY_S)
            busiest = max(gateways, key=lambda gateway: under_way.older_than(AT_WORK_S, gateway.port))
            if under_way.older_than(AT_WORK_S, busiest.port):
                busiest.kill_and_start_again()
                kills += 1
                await asyncio.wait([clients], timeout=KILL_EVERY_S)
        return await clients, kills


async def drain_with_loss(copy: Copy, gateways: Sequence[GatewayProcess], ask: Ask) -> tuple[Received, int]:
    """Empty Valkey while the clients ask."""
    clients = asyncio.create_task(drain([gateway.port for gateway in gateways], ask, CLIENTS, UnderWay()))
    await asyncio.wait([clients], timeout=LOSE_AFTER_S)
    assert not clients.done(), "there was nothing left to lose"
    with redis.Redis.from_url(embedded.redis_url(copy.home)) as store:
        store.flushall()
    async with asyncio.timeout(DRAIN_TIMEOUT_S):
        return await clients, 0


def account(copy: Copy, entered: dict[str, str], received: Received, kills: int) -> Drained:
    """What events and counter say about the run's key and budget."""
    columns = "id::text, billed, coalesce(input_uncached, 0), coalesce(output, 0)"
    rows = copy.sql(f"SELECT {columns} FROM metering_event WHERE api_key_id = %s", entered["key_id"])
    billed = [row for row in rows if row[1]]
    asked = sum(
        read * PRICES[MODEL, "input_uncached"] + written * PRICES[MODEL, "output"] for _, _, read, written in billed
    )
    spent, still_leased = counter(copy, entered["budget_id"])
    return Drained(
        received=received,
        kills=kills,
        billed_ids=frozenset(row[0] for row in billed),
        interrupted=len(rows) - len(billed),
        billed=Decimal(asked) / 1_000_000,
        counted=Decimal(spent) / NANO,
        leased=Decimal(still_leased) / NANO,
    )


def leased(copy: Copy, budget_id: str) -> int:
    return counter(copy, budget_id)[1]


def counter(copy: Copy, budget_id: str) -> tuple[int, int]:
    """Spent and leased, as Valkey has them: see billing/windows.py for the fields."""
    with redis.Redis.from_url(embedded.redis_url(copy.home), decode_responses=True) as store:
        [key] = store.scan_iter(f"tokenworks:budget:{budget_id}:*")
        fields = store.hgetall(key)
    parts = [text.split() for name, text in fields.items() if name != "base"]
    return int(fields["base"]) + sum(int(part[2]) for part in parts), sum(int(part[3]) for part in parts)
