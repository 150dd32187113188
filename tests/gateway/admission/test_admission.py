"""What a caller is told by limits and budgets, and what they cost a request, against a real Valkey."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from billing.windows import BASE
from gateway.admission.admission import Admission
from gateway.admission.pricing import TEMPLATE_TOKENS
from tests.gateway.admission.limiting import (
    COST,
    KEY,
    PROJECT,
    USED,
    budget,
    calls,
    limit,
    limited,
    snapshot,
    taken,
)
from tests.gateway.running import MODEL, OUTPUT_TOKENS_MAX, Answered, Running, chat, exchange, http_request, post, until
from tests.gateway.upstreams import Upstream, completion, says, streams, vllm_stream, whole


@pytest.fixture
def upstream(upstream: Upstream) -> Upstream:
    upstream.answer = says(whole(completion()))
    return upstream


def assert_refused(answered: Answered, status: int, code: str) -> None:
    assert (answered.status, answered.error["code"]) == (status, code)


async def ask(gateway: Running, **members: Any) -> Answered:
    return await post(gateway, chat(max_tokens=50, **members))


async def test_a_request_far_from_its_limits_makes_no_network_call(
    home: Path, counters_url: str, upstream: Upstream
) -> None:
    rows = (
        budget(10**12, is_money=True),
        limit(requests_per_minute=10**6, tokens_per_minute=10**9, parallel_requests=10**4),
    )
    async with limited(home, counters_url, upstream, *rows) as gateway:
        assert (await ask(gateway)).status == 200
        before = calls(gateway)
        upkeep = gateway.gateway._upkeep
        assert upkeep is not None
        upkeep._task.cancel()  # type: ignore[union-attr]  # Reports go by time, not by request: leave them out.
        for _ in range(30):
            assert (await ask(gateway)).status == 200
        assert (before, calls(gateway)) == (1, 1)


async def test_leases_are_filled_ahead_so_that_only_the_first_request_waits(
    home: Path, counters_url: str, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = 0
    admit = Admission.admit

    async def counted(*given: Any) -> Any:
        nonlocal waited
        waited += 1
        return await admit(*given)

    monkeypatch.setattr(Admission, "admit", counted)
    async with limited(home, counters_url, upstream, limit(requests_per_minute=64 * 100)) as gateway:
        for _ in range(250):  # A lease is a 64th of what is left: about 100 requests.
            assert (await ask(gateway)).status == 200
    assert waited == 1


async def test_what_is_filled_besides_a_lease_that_ran_out_is_not_given_back(
    home: Path, counters_url: str, upstream: Upstream
) -> None:
    rows = (limit(requests_per_minute=10**6), limit(id=2, requests_per_minute=64 * 100, project_id=PROJECT))
    async with limited(home, counters_url, upstream, *rows) as gateway:
        assert (await ask(gateway)).status == 200
        upkeep = gateway.gateway._upkeep
        assert upkeep is not None
        wide, narrow = sorted(upkeep.ledger.all_leases(), key=lambda lease: -lease.quota.limit)
        narrow.give_back()  # So that the next request has to ask for this one alone.
        assert (await ask(gateway)).status == 200
        assert (wide.is_tight, narrow.is_tight) == (False, False)


async def test_a_tenant_without_limits_never_asks(home: Path, counters_url: str, upstream: Upstream) -> None:
    async with limited(home, counters_url, upstream) as gateway:
        assert (await ask(gateway)).status == 200
        assert calls(gateway) == 0


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("is_money", "drawn"), [(False, USED), (True, COST)])
async def test_a_budget_is_charged_what_the_bill_says(
    home: Path, counters_url: str, store: "redis.Redis", upstream: Upstream, streamed: bool, is_money: bool, drawn: int
) -> None:
    if streamed:
        upstream.answer = streams(*vllm_stream(["a", "b"]))
    async with limited(home, counters_url, upstream, budget(10**6, is_money=is_money)) as gateway:
        for _ in range(3):
            assert (await ask(gateway, stream=streamed)).status == 200
        await until(lambda: taken(store) == (3 * drawn, 0))


async def test_what_is_left_comes_back_when_the_gateway_stops(
    home: Path, counters_url: str, store: "redis.Redis", upstream: Upstream
) -> None:
    async with limited(home, counters_url, upstream, budget(10**6)) as gateway:
        await ask(gateway)
    assert taken(store) == (USED, 0)


async def test_a_spent_budget_is_402(home: Path, counters_url: str, store: "redis.Redis", upstream: Upstream) -> None:
    async with limited(home, counters_url, upstream, budget(USED)) as gateway:
        store.hset("tokenworks:budget:1:0", BASE, str(USED))
        answered = await ask(gateway)
        assert_refused(answered, 402, "insufficient_quota")
        assert upstream.received == []
        assert taken(store) == (USED, 0)


async def test_near_its_end_a_budget_clamps_the_answer_and_says_so(
    home: Path, counters_url: str, upstream: Upstream
) -> None:
    body = json.dumps(chat()).encode()
    async with limited(home, counters_url, upstream, budget(len(body) + TEMPLATE_TOKENS + 7)) as gateway:
        answered = await post(gateway, body)
    assert answered.status == 200
    assert answered.headers["x-tokenworks-max-tokens"] == "7"
    assert upstream.received[0].json["max_tokens"] == 7


async def test_a_budget_replaces_the_callers_own_limits_and_shares_them_among_its_answers(
    home: Path, counters_url: str, upstream: Upstream
) -> None:
    body = json.dumps(chat(max_completion_tokens=40, n=2)).encode()
    affords = (len(body) + TEMPLATE_TOKENS + 21) * 2
    async with limited(home, counters_url, upstream, budget(affords, is_money=True)) as gateway:
        answered = await post(gateway, body)
    assert answered.headers["x-tokenworks-max-tokens"] == "2"
    assert upstream.received[0].json["max_completion_tokens"] == 2


async def test_far_from_its_end_a_budget_holds_the_upstream_to_what_is_held(
    home: Path, counters_url: str, upstream: Upstream
) -> None:
    async with limited(home, counters_url, upstream, budget(10**9)) as gateway:
        answered = await post(gateway, chat())
    assert "x-tokenworks-max-tokens" not in answered.headers
    assert upstream.received[0].json["max_tokens"] == OUTPUT_TOKENS_MAX


async def test_held_by_running_requests_is_429_and_not_402(home: Path, counters_url: str, upstream: Upstream) -> None:
    release = asyncio.Event()

    async def slow(request: Any, transport: asyncio.Transport) -> None:
        await release.wait()
        await says(whole(completion()))(request, transport)

    upstream.answer = slow
    body = chat(max_tokens=50)
    hold = len(json.dumps(body)) + TEMPLATE_TOKENS + 50
    async with limited(home, counters_url, upstream, budget(hold + 10)) as gateway:
        first = asyncio.create_task(post(gateway, body))
        await upstream.arrived.wait()
        refused = await post(gateway, body)
        assert_refused(refused, 429, "budget_held")
        assert refused.headers["retry-after"] == "1"
        release.set()
        assert (await first).status == 200


async def test_requests_of_a_minute_are_limited(
    home: Path, counters_url: str, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1_800_000_000.0 // 60 * 60 + 20
    monkeypatch.setattr(time, "time", lambda: now_s)
    async with limited(home, counters_url, upstream, limit(requests_per_minute=3)) as gateway:
        assert [(await ask(gateway)).status for _ in range(3)] == [200] * 3
        refused = await ask(gateway)
        assert_refused(refused, 429, "rate_limit_exceeded")
        assert refused.headers["retry-after"] == "41"
        now_s += 41
        assert (await ask(gateway)).status == 200


async def test_tokens_of_a_minute_are_limited_and_unused_ones_come_back(
    home: Path, counters_url: str, upstream: Upstream
) -> None:
    hold = len(json.dumps(chat(max_tokens=50))) + TEMPLATE_TOKENS + 50
    async with limited(home, counters_url, upstream, limit(tokens_per_minute=hold + USED - 1)) as gateway:
        assert (await ask(gateway)).status == 200
        assert_refused(await ask(gateway), 429, "rate_limit_exceeded")


async def test_parallel_requests_are_limited_and_come_back_when_they_end(
    home: Path, counters_url: str, upstream: Upstream
) -> None:
    release = asyncio.Event()

    async def slow(request: Any, transport: asyncio.Transport) -> None:
        await release.wait()
        await says(whole(completion()))(request, transport)

    upstream.answer = slow
    async with limited(home, counters_url, upstream, limit(parallel_requests=2)) as gateway:
        running = [asyncio.create_task(ask(gateway)) for _ in range(2)]
        await until(lambda: len(upstream.received) == 2)
        assert_refused(await ask(gateway), 429, "too_many_parallel_requests")
        release.set()
        assert [(await each).status for each in running] == [200, 200]
        assert (await ask(gateway)).status == 200


async def test_a_parallel_count_is_given_back_after_an_upstream_failed(
    home: Path, counters_url: str, upstream: Upstream
) -> None:
    upstream.answer = says(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")
    async with limited(home, counters_url, upstream, limit(parallel_requests=1), budget(10**6)) as gateway:
        for _ in range(3):
            assert (await ask(gateway)).status == 502
        upkeep = gateway.gateway._upkeep
        assert upkeep is not None
        assert [(lease.held, lease.spent) for lease in upkeep.ledger.all_leases()] == [(0, 0), (0, 0)]


async def test_a_refusal_by_one_limit_takes_nothing_of_the_others(
    home: Path, counters_url: str, store: "redis.Redis", upstream: Upstream
) -> None:
    rows = limit(requests_per_minute=5), limit(id=2, project_id=PROJECT, parallel_requests=5), budget(0, key_id=KEY)
    async with limited(home, counters_url, upstream, *rows) as gateway:
        for _ in range(10):
            assert_refused(await ask(gateway), 402, "insufficient_quota")
        upkeep = gateway.gateway._upkeep
        assert upkeep is not None
        assert {(lease.spent, lease.held) for lease in upkeep.ledger.all_leases()} == {(0, 0)}


async def test_a_limit_of_another_project_or_key_does_not_count(
    home: Path, counters_url: str, upstream: Upstream
) -> None:
    rows = budget(0, project_id=999), limit(key_id=998, models_allowed=[])
    async with limited(home, counters_url, upstream, *rows) as gateway:
        assert (await ask(gateway)).status == 200


async def test_a_soft_budget_refuses_nothing_and_counts(
    home: Path, counters_url: str, store: "redis.Redis", upstream: Upstream
) -> None:
    async with limited(home, counters_url, upstream, budget(1, hard=False)) as gateway:
        assert (await ask(gateway)).status == 200
    assert taken(store) == (USED, 0)


async def test_a_budget_that_is_not_counted_yet_is_503(
    home: Path, counters_url: str, store: "redis.Redis", upstream: Upstream
) -> None:
    async with limited(home, counters_url, upstream, budget(10**6)) as gateway:
        store.delete("tokenworks:budget:1:0")
        assert_refused(await ask(gateway), 503, "budget_not_counted")
        store.hset("tokenworks:budget:1:0", BASE, "0")
        assert (await ask(gateway)).status == 200


async def test_a_lowered_limit_holds_for_the_next_request(home: Path, counters_url: str, upstream: Upstream) -> None:
    async with limited(home, counters_url, upstream, budget(10**9)) as gateway:
        assert (await ask(gateway)).status == 200
        gateway.gateway._snapshots.current = snapshot(upstream, budget(USED))
        assert_refused(await ask(gateway), 402, "insufficient_quota")


async def test_a_model_that_is_not_allowed_is_unknown_and_not_listed(
    home: Path, counters_url: str, upstream: Upstream
) -> None:
    async with limited(home, counters_url, upstream, limit(key_id=KEY, models_allowed=["another"])) as gateway:
        assert_refused(await ask(gateway), 404, "model_not_found")
        listed = await exchange(gateway.port, http_request(method="GET", path="/v1/models"))
        assert listed.json["data"] == []
        one = await exchange(gateway.port, http_request(method="GET", path=f"/v1/models/{MODEL}"))
        assert_refused(one, 404, "model_not_found")


async def test_an_address_that_is_not_allowed_is_403_whatever_its_headers_say(
    home: Path, counters_url: str, upstream: Upstream
) -> None:
    async with limited(home, counters_url, upstream, limit(ip_allowed=["192.0.2.0/24"])) as gateway:
        request = http_request(json.dumps(chat()).encode())
        forged = request.replace(b"host:", b"x-forwarded-for: 192.0.2.7\r\nhost:")
        assert_refused(await exchange(gateway.port, forged), 403, "ip_not_allowed")
        gateway.gateway._snapshots.current = snapshot(upstream, limit(ip_allowed=["127.0.0.0/8"]))
        assert (await exchange(gateway.port, request)).status == 200


async def test_an_expired_key_is_401(home: Path, counters_url: str, upstream: Upstream) -> None:
    async with limited(home, counters_url, upstream, limit(project_id=PROJECT, expires_at_us=1)) as gateway:
        assert_refused(await ask(gateway), 401, "api_key_expired")
