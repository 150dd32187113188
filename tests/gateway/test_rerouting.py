"""Workers that die, fail, lag and come back behind a running gateway: callers are answered, and pay once."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.breaker import COOL_DOWN_S, FAILURES_MAX
from gateway.retrying import RETRIES_MAX
from gateway.routing import Router
from gateway.snapshot import build
from inference.snapshot import Worker
from tests.gateway.running import (
    Answered,
    FixedSnapshots,
    Running,
    chat,
    deployment,
    exchange,
    http_request,
    post,
    rows,
    running_gateway,
    until,
)
from tests.gateway.upstreams import (
    DONE,
    STREAM_HEAD,
    Answer,
    Received,
    Upstream,
    chunk,
    completion,
    event,
    running,
    running_upstream,
    says,
    says_and_hangs_up,
    says_and_waits,
    streams,
    vllm_stream,
    whole,
)

GOOD = says(whole(completion()))
FAILS = says(whole(b'{"error":{}}', status="500 Oops"))
BUSY = says(whole(b'{"error":{"message":"busy"}}', "retry-after: 7", status="429 Too Many Requests"))


class Held:
    """An answer that waits until the test lets it go."""

    def __init__(self, then: Answer = GOOD) -> None:
        self.go = asyncio.Event()
        self.then = then

    async def __call__(self, request: Received, transport: asyncio.Transport) -> None:
        await self.go.wait()
        await self.then(request, transport)


class Clock:
    """The clock of a router, so that cool-downs pass when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def router_of(gateway: Running) -> Router:
    assert gateway.gateway._plane is not None
    return gateway.gateway._plane.router


def stopped_clock(gateway: Running) -> Clock:
    clock = router_of(gateway)._clock = Clock()
    return clock


@pytest.fixture
async def other() -> AsyncIterator[Upstream]:
    async with running_upstream() as upstream:
        yield upstream


@asynccontextmanager
async def in_front_of(home: Path, *workers: Upstream, **changes: Any) -> AsyncIterator[Running]:
    """A gateway whose one deployment has these workers."""
    given = changes.pop("given", {})
    made = rows(*(worker.base_url for worker in workers), deployments=[deployment(**given)])
    async with running_gateway(home, FixedSnapshots(build(made)), **changes) as gateway:
        yield gateway


def say(content: str, **members: Any) -> dict[str, Any]:
    return chat(messages=[{"role": "user", "content": content}], **members)


async def in_session(gateway: Running, session: str) -> Answered:
    request = http_request(json.dumps(chat()).encode())
    return await exchange(gateway.port, request.replace(b"\r\n", f"\r\nx-session-id: {session}\r\n".encode(), 1))


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("answer", [FAILS, says_and_hangs_up(), says(whole(b"", status="503 Busy"))])
async def test_a_request_that_came_to_nothing_is_answered_by_the_next_worker(
    home: Path, upstream: Upstream, other: Upstream, answer: Answer, streamed: bool
) -> None:
    upstream.answer = answer
    other.answer = streams(*vllm_stream(["a"])) if streamed else GOOD
    async with in_front_of(home, upstream, other) as gateway:
        answered = [await post(gateway, chat(stream=streamed)) for _ in range(4)]
        assert [each.status for each in answered] == [200] * 4
        events = gateway.events()
    assert len(upstream.received) >= 2
    assert len(events) == len(upstream.received) + 4
    assert len({each.opened.event_id for each in events}) == len(events)
    assert [each.outcome for each in events if not each.billed] == ["upstream_failed"] * len(upstream.received)
    billed = {str_id(each.opened.event_id) for each in events if each.billed}
    assert billed == {each.headers["x-request-id"] for each in answered}


def str_id(event_id: bytes) -> str:
    text = event_id.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


async def test_a_worker_killed_under_load_costs_no_caller_an_answer(
    home: Path, upstream: Upstream, other: Upstream
) -> None:
    upstream.answer, other.answer = Held(), GOOD
    async with in_front_of(home, upstream, other) as gateway:
        calls = [asyncio.ensure_future(post(gateway, chat())) for _ in range(12)]
        await until(lambda: len(upstream.received) + len(gateway.events()) == 12)
        assert upstream.received
        upstream.die()
        answered = await asyncio.gather(*calls)
        assert [each.status for each in answered] == [200] * 12
        assert sum(each.billed for each in gateway.events()) == 12


async def test_a_worker_that_fails_again_and_again_is_left_in_peace_and_tried_once(
    home: Path, upstream: Upstream, other: Upstream
) -> None:
    upstream.answer, other.answer = FAILS, GOOD
    async with in_front_of(home, upstream, other) as gateway:
        clock = stopped_clock(gateway)
        for _ in range(4 * FAILURES_MAX):
            assert (await post(gateway, chat())).status == 200
        assert len(upstream.received) == FAILURES_MAX
        clock.now += COOL_DOWN_S
        for _ in range(4):
            assert (await post(gateway, chat())).status == 200
        assert len(upstream.received) == FAILURES_MAX + 1
        upstream.answer = GOOD
        clock.now += 2 * COOL_DOWN_S
        for _ in range(8):
            assert (await post(gateway, chat())).status == 200
        assert len(upstream.received) > FAILURES_MAX + 2


async def test_a_worker_that_comes_back_is_used_again(home: Path, upstream: Upstream, other: Upstream) -> None:
    upstream.answer = other.answer = GOOD
    async with in_front_of(home, upstream, other) as gateway:
        clock = stopped_clock(gateway)
        upstream.die()
        for _ in range(4):
            assert (await post(gateway, chat())).status == 200
        assert (len(upstream.received), len(other.received)) == (0, 4)
        await upstream.come_back()
        clock.now += COOL_DOWN_S
        for _ in range(4):
            assert (await post(gateway, chat())).status == 200
        assert len(upstream.received) == 2


async def test_a_slow_worker_gets_less(home: Path, upstream: Upstream, other: Upstream) -> None:
    held = upstream.answer = Held()
    other.answer = GOOD
    async with in_front_of(home, upstream, other) as gateway:
        slow = asyncio.ensure_future(post(gateway, chat()))
        await upstream.arrived.wait()
        for _ in range(5):
            await post(gateway, chat())
        assert (len(upstream.received), len(other.received)) == (1, 5)
        held.go.set()
        assert (await slow).status == 200


async def test_what_a_pools_queue_is_too_long_for_overflows_to_the_next_deployment_and_returns(
    home: Path, upstream: Upstream, other: Upstream
) -> None:
    held = upstream.answer = Held()
    other.answer = GOOD
    made = rows(
        deployments=[
            deployment("own", "own", priority=0, overflow_queue_max=1),
            deployment("bought", "provider", priority=1),
        ]
    )
    made.workers.extend([Worker("own", upstream.base_url, "vllm", 2), Worker("provider", other.base_url, "vllm")])
    async with running_gateway(home, FixedSnapshots(build(made))) as gateway:
        calls = []
        for number in range(1, 5):  # Two run, one waits, and with the next two wait.
            calls.append(asyncio.ensure_future(post(gateway, chat())))
            await until(lambda number=number: len(upstream.received) == number)
        await post(gateway, chat())
        assert (len(upstream.received), len(other.received)) == (4, 1)
        held.go.set()
        assert {each.status for each in await asyncio.gather(*calls)} == {200}
        await post(gateway, chat())
        assert (len(upstream.received), len(other.received)) == (5, 1)
        deployments = [each.opened.deployment for each in gateway.events()]
    assert (deployments.count("own"), deployments.count("bought")) == (5, 1)


async def test_a_full_pool_is_used_where_the_deployment_behind_it_cannot_be_reached(
    home: Path, upstream: Upstream, other: Upstream
) -> None:
    held = upstream.answer = Held()
    made = rows(deployments=[deployment("own", "own", overflow_queue_max=0), deployment("bought", "b", priority=1)])
    made.workers.extend([Worker("own", upstream.base_url, "vllm", 1), Worker("b", other.base_url, "vllm")])
    other.die()
    async with running_gateway(home, FixedSnapshots(build(made))) as gateway:
        calls = [asyncio.ensure_future(post(gateway, chat())) for _ in range(4)]
        await until(lambda: len(upstream.received) == 4)
        held.go.set()
        assert {each.status for each in await asyncio.gather(*calls)} == {200}


@pytest.mark.parametrize("streamed", [True, False])
async def test_without_a_retry_left_the_caller_gets_the_error(
    home: Path, upstream: Upstream, other: Upstream, streamed: bool
) -> None:
    upstream.answer = other.answer = FAILS
    async with in_front_of(home, upstream, other, retry_percent=0) as gateway:
        answered = await post(gateway, chat(stream=streamed))
        assert (answered.status, answered.error["code"]) == (502, "upstream_failed")
        assert len(gateway.events()) == 1
    assert len(upstream.received) + len(other.received) == 1


async def test_one_request_is_retried_only_so_often(home: Path, upstream: Upstream) -> None:
    upstream.answer = FAILS
    async with running_upstream() as one, running_upstream() as two, running_upstream() as three:
        workers = [upstream, one, two, three]
        for worker in workers:
            worker.answer = FAILS
        async with in_front_of(home, *workers) as gateway:
            assert (await post(gateway, chat())).status == 502
            assert len(gateway.events()) == 1 + RETRIES_MAX


async def test_a_429_goes_elsewhere_and_is_the_callers_where_all_say_so(
    home: Path, upstream: Upstream, other: Upstream
) -> None:
    upstream.answer = other.answer = BUSY
    async with in_front_of(home, upstream, other) as gateway:
        answered = await post(gateway, chat())
        assert (answered.status, answered.headers["retry-after"]) == (429, "7")
        assert answered.error["message"] == "busy"
        assert (len(upstream.received), len(other.received)) == (1, 1)
        other.answer = GOOD
        assert (await post(gateway, chat())).status == 200
        assert [each.outcome for each in gateway.events()].count("upstream_rejected") >= 2


LATE = [
    pytest.param(says_and_hangs_up(STREAM_HEAD, chunk(event("a", running(5, 1)))), id="cut within the stream"),
    pytest.param(says_and_hangs_up(STREAM_HEAD), id="cut behind the head"),
    pytest.param(says(whole(b"<html>")), id="not understood"),
]


@pytest.mark.parametrize("answer", LATE)
async def test_once_an_answer_began_nothing_is_tried_again(
    home: Path, upstream: Upstream, other: Upstream, answer: Answer
) -> None:
    upstream.answer = other.answer = answer
    async with in_front_of(home, upstream, other) as gateway:
        assert b"upstream_failed" in (await post(gateway, chat(stream=True))).body
        assert len(gateway.events()) == 1
    assert len(upstream.received) + len(other.received) == 1


async def test_an_answer_cut_within_its_body_is_not_tried_again(
    home: Path, upstream: Upstream, other: Upstream
) -> None:
    upstream.answer = other.answer = says_and_hangs_up(whole(completion())[:-10])
    async with in_front_of(home, upstream, other) as gateway:
        assert (await post(gateway, chat())).status == 502
    assert len(upstream.received) + len(other.received) == 1


async def test_a_request_that_took_too_long_is_not_tried_again(home: Path, upstream: Upstream, other: Upstream) -> None:
    upstream.answer = other.answer = says_and_waits()
    async with in_front_of(home, upstream, other, first_byte_timeout_s=0.1) as gateway:
        assert (await post(gateway, chat())).status == 504
        assert len(gateway.events()) == 1


async def test_a_caller_that_left_is_not_tried_for_again(home: Path, upstream: Upstream, other: Upstream) -> None:
    held = upstream.answer = other.answer = Held(FAILS)
    async with in_front_of(home, upstream, other) as gateway:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(http_request(json.dumps(chat()).encode()))
        await until(lambda: upstream.received or other.received)
        writer.transport.abort()
        await post(gateway, b"", method="GET", path="/v1/models")  # Comes after the end of the other connection.
        held.go.set()
        await until(lambda: not gateway.gateway.requests_open)
        assert len(gateway.events()) == 1


async def test_a_session_stays_with_its_worker_and_moves_when_it_dies(
    home: Path, upstream: Upstream, other: Upstream
) -> None:
    upstream.answer = other.answer = GOOD
    async with in_front_of(home, upstream, other) as gateway:
        for number in range(16):
            for _ in range(2):
                assert (await in_session(gateway, f"talk-{number}")).status == 200
        assert len(upstream.received) % 2 == 0
        assert len(other.received) % 2 == 0
        assert upstream.received
        assert other.received
        before = len(other.received)
        upstream.die()
        for number in range(16):
            assert (await in_session(gateway, f"talk-{number}")).status == 200
        assert len(other.received) == before + 16


async def test_prompts_that_begin_alike_go_to_one_worker(home: Path, upstream: Upstream, other: Upstream) -> None:
    upstream.answer = other.answer = GOOD
    async with in_front_of(home, upstream, other, given={"prefix_bytes": 64}) as gateway:
        system = "You are a helpful assistant of the Acme company, and you know everything."
        for number in range(6):
            assert (await post(gateway, say(f"{system} {number}"))).status == 200
    assert sorted((len(upstream.received), len(other.received))) == [0, 6]


async def test_a_deployment_has_its_own_patience(home: Path, upstream: Upstream) -> None:
    upstream.answer = says_and_waits()
    async with in_front_of(home, upstream, given={"first_byte_timeout_s": 0.1}) as gateway:
        assert (await post(gateway, chat())).status == 504
    upstream.answer = says_and_waits(STREAM_HEAD, chunk(event("a", running(5, 1))))
    async with in_front_of(home, upstream, given={"idle_timeout_s": 0.1}) as gateway:
        assert b"upstream_timeout" in (await post(gateway, chat(stream=True))).body


async def test_a_deployment_has_its_own_patience_for_connecting(home: Path, upstream: Upstream) -> None:
    upstream.answer = GOOD
    made = rows(deployments=[deployment("own", "own", connect_timeout_s=0.1), deployment("bought", "b", priority=1)])
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, contextlib.ExitStack() as fillers:
        for _ in range(2):  # What nobody accepts fills its queue: who comes now waits.
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        made.workers.extend(
            [Worker("own", f"http://127.0.0.1:{deaf.getsockname()[1]}", "vllm"), Worker("b", upstream.base_url, "vllm")]
        )
        made.workers.sort(key=lambda worker: worker.upstream)
        async with running_gateway(home, FixedSnapshots(build(made)), connect_timeout_s=3600) as gateway:
            assert (await post(gateway, chat())).status == 200


async def test_the_patience_of_one_deployment_is_not_left_on_a_connection_for_the_next(
    home: Path, upstream: Upstream
) -> None:
    upstream.answer = GOOD
    async with in_front_of(home, upstream, given={"first_byte_timeout_s": 0.1}) as gateway:
        await post(gateway, chat())
        assert gateway.gateway._plane is not None
        kept = await gateway.gateway._plane.upstreams.connection(upstream.base_url)
        assert kept.first_byte_timeout_s == gateway.gateway.config.first_byte_timeout_s
        kept.close()
    assert upstream.connections == 1


@pytest.mark.parametrize("streamed", [True, False])
async def test_every_request_is_counted_out_again_however_it_ended(
    home: Path, upstream: Upstream, other: Upstream, streamed: bool
) -> None:
    answers = [GOOD, FAILS, BUSY, says_and_hangs_up(), says(whole(b"<html>")), streams(event("a"), DONE)]
    async with in_front_of(home, upstream, other) as gateway:
        for answer in answers:
            upstream.answer = other.answer = answer
            await post(gateway, chat(stream=streamed))
        upstream.die()
        other.die()
        await post(gateway, chat(stream=streamed))
        loads = [router_of(gateway).standing(worker.base_url).load for worker in (upstream, other)]
    assert loads == [0, 0]
