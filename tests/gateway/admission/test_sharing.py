"""Many clients of several gateways draw on one budget at once."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import redis

from tests.gateway.admission.limiting import COST, budget, limited, taken
from tests.gateway.running import Running, chat, post
from tests.gateway.upstreams import Upstream, completion, says, streams, vllm_stream, whole

CLIENTS, GATEWAYS, AFFORDED, TRIES = 64, 4, 100, 6


@pytest.mark.parametrize("streamed", [False, True])
async def test_clients_of_several_gateways_never_spend_more_than_the_budget(
    home: Path, counters_url: str, store: "redis.Redis", upstream: Upstream, streamed: bool
) -> None:
    upstream.answer = streams(*vllm_stream(["a", "b"])) if streamed else says(whole(completion()))
    affords = budget(AFFORDED * COST, is_money=True)
    async with AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(limited(home / str(number), counters_url, upstream, affords))
            for number in range(GATEWAYS)
        ]

        async def client(gateway: Running) -> int:
            answers = [await post(gateway, chat(max_tokens=28, stream=streamed)) for _ in range(TRIES)]
            assert {answered.status for answered in answers} <= {200, 402, 429}
            return sum(answered.status == 200 for answered in answers)

        served = sum(await asyncio.gather(*(client(gateways[number % GATEWAYS]) for number in range(CLIENTS))))
    spent, leased = taken(store)
    assert (spent, leased) == (served * COST, 0)
    assert 0 < spent <= AFFORDED * COST
