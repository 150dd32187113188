"""Rows that limit Acme, and gateways that heed them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import redis
from msgspec import structs

from billing.snapshot import PlanRow, PriceRow
from billing.windows import BASE, Window, counter_key
from gateway.admission.terms import TermRows
from gateway.snapshot import Snapshot, build
from tenants.snapshot import BudgetRow, LimitedTenant, LimitRow
from tests.gateway.running import ACME, MODEL, FixedSnapshots, Running, rows, running_gateway
from tests.gateway.upstreams import CACHED, COMPLETION, PROMPT, Upstream

KEY, PROJECT = 11, 101  # Alice's.
TOTAL = Window(0, None)
USED = PROMPT + COMPLETION  # Tokens of every answer here.

# Per token, in 10^-12 of a dollar: 2 nano for what is read, 1 for what is cached, 10 for what is written.
PICO = {"request": 0, "input_uncached": 2_000, "input_cached": 1_000, "output": 10_000, "reasoning": 10_000}
COST = (PROMPT - CACHED) * 2 + CACHED * 1 + COMPLETION * 10  # Of every answer here, in 10^-9 of a dollar.


def budget(limit: int, **changes: Any) -> BudgetRow:
    given = {
        "name": "budget:1", "tenant_id": ACME, "project_id": None, "key_id": None, "window": "total",
        "is_money": False, "hard": True, "since_s": 0,
    }  # fmt: skip
    return BudgetRow(limit=limit, **{**given, **changes})


def limit(**changes: Any) -> LimitRow:
    return LimitRow(**{"id": 1, "tenant_id": ACME, "project_id": None, "key_id": None, **changes})


def snapshot(upstream: Upstream, *found: BudgetRow | LimitRow, goes_on: bool = False) -> Snapshot:
    terms = TermRows(
        tenants=[LimitedTenant(ACME, "UTC", goes_on)],
        limits=[row for row in found if isinstance(row, LimitRow)],
        budgets=[row for row in found if isinstance(row, BudgetRow)],
        plans=[PlanRow(ACME, 0, 1)],
        prices=[PriceRow(1, 0, "USD", MODEL, unit, str(pico), 1) for unit, pico in PICO.items()],
    )
    return build(structs.replace(rows(upstream.base_url), terms=terms))


@asynccontextmanager
async def limited(
    home: Path, url: str, upstream: Upstream, *found: BudgetRow | LimitRow, goes_on: bool = False, **config: Any
) -> AsyncIterator[Running]:
    """A gateway whose budgets are counted: nothing was used before."""
    with redis.Redis.from_url(url) as store:
        for row in found:
            if isinstance(row, BudgetRow):
                store.hsetnx(counter_key(row.name, TOTAL), BASE, "0")
    snapshots = FixedSnapshots(snapshot(upstream, *found, goes_on=goes_on))
    async with running_gateway(home, snapshots, redis_url=url, **config) as gateway:
        yield gateway


def taken(store: "redis.Redis", name: str = "budget:1", window: Window = TOTAL) -> tuple[int, int]:
    """What the counter says: spent and leased."""
    fields = store.hgetall(counter_key(name, window))
    parts = [text.split() for field, text in fields.items() if field != BASE]
    return int(fields.get(BASE, 0)) + sum(int(part[2]) for part in parts), sum(int(part[3]) for part in parts)


def calls(gateway: Running) -> int:
    """Round trips to the counters so far."""
    upkeep = gateway.gateway._upkeep
    assert upkeep is not None
    return upkeep.counters.calls
