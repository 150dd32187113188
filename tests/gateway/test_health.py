"""Probes: who is well, and what each engine has to do."""

import asyncio
import logging
from pathlib import Path

import pytest

from gateway import health
from gateway.breaker import State
from gateway.health import PROBES_AT_ONCE, Prober, read_load
from gateway.routing import Router
from gateway.snapshot import build
from gateway.standing import PROBES_FAILED_MAX, EngineLoad
from inference.simulator.metrics import Metrics
from inference.simulator.serving import serving
from inference.simulator.worker import SimulatedWorker
from inference.snapshot import Worker
from tests.gateway.running import FixedSnapshots, chat, deployment, post, rows, running_gateway, until
from tests.gateway.upstreams import Upstream, completion, head, running_upstream, says, whole

VLLM = b"""# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a{b}"} 7.0
vllm:num_requests_running{engine="1",model_name="a{b}"} 5.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="a{b}"} 2.0
vllm:num_requests_waiting{engine="1",model_name="a{b}"} 0.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 2.0
vllm:num_requests_running_created{engine="0"} 1.7e+09
"""


def metrics(running: int, waiting: int) -> bytes:
    return whole(Metrics("model", running=running, waiting=waiting).text())


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def router(clock: Clock) -> Router:
    return Router(clock)


@pytest.fixture
async def prober(router: Router, upstream: Upstream) -> Prober:
    return Prober(router, FixedSnapshots(build(rows(upstream.base_url))), 1)


def test_the_load_is_what_all_parts_of_the_engine_have_together() -> None:
    assert read_load(VLLM) == EngineLoad(running=12, waiting=2)


def test_the_simulated_worker_is_read_like_the_real_one() -> None:
    assert read_load(Metrics('a"b}', running=3, waiting=4).text()) == EngineLoad(3, 4)


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"<html>",
        b"vllm:num_requests_running 5.0\n",
        VLLM.replace(b"7.0", b"e+e"),
        VLLM.replace(b"7.0", b"1e99"),
        VLLM.replace(b"vllm:", b"other:"),
    ],
)
def test_a_page_that_does_not_say_tells_no_load(page: bytes) -> None:
    assert read_load(page) is None


async def test_a_probe_tells_what_the_engine_has_to_do(prober: Prober, router: Router, upstream: Upstream) -> None:
    upstream.pages = {"/health": whole(b""), "/metrics": metrics(5, 2)}
    await prober.round()
    assert upstream.asked == ["/health", "/metrics"]
    assert router.standing(upstream.base_url).load == 7


async def test_a_simulated_worker_answers_probes_like_a_real_one(router: Router) -> None:
    simulated = SimulatedWorker("model")
    simulated.metrics.running, simulated.metrics.waiting = 3, 1
    async with serving(simulated) as base_url:
        for _ in range(PROBES_FAILED_MAX):
            await Prober(router, FixedSnapshots(build(rows(base_url))), 1).round()
        worker = router.standing(base_url)
        assert (worker.ill, worker.load, worker.queue(None)) == (False, 4, 1)


async def test_an_engine_without_these_pages_is_well(prober: Prober, router: Router, upstream: Upstream) -> None:
    for _ in range(PROBES_FAILED_MAX):
        await prober.round()
    worker = router.standing(upstream.base_url)
    assert (worker.ill, worker.load) == (False, 0)


ILL = [
    pytest.param(whole(b"", status="503 Dead"), id="503"),
    pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n\r\n", id="another protocol"),
    pytest.param(head("content-length: 5"), id="never whole"),
    pytest.param(b"", id="silent"),
]


@pytest.mark.parametrize("answer", ILL)
async def test_a_worker_that_is_not_well_twice_in_a_row_is_ill(
    prober: Prober, router: Router, upstream: Upstream, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PROBE_TIMEOUT_S", 0.1)
    upstream.pages = {"/health": answer}
    for _ in range(PROBES_FAILED_MAX):
        assert not router.standing(upstream.base_url).ill
        await prober.round()
    assert router.standing(upstream.base_url).ill


async def test_an_engine_that_keeps_its_metrics_to_itself_is_well(
    prober: Prober, router: Router, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PROBE_TIMEOUT_S", 0.1)
    upstream.pages = {"/health": whole(b""), "/metrics": b""}
    for _ in range(PROBES_FAILED_MAX):
        await prober.round()
    assert not router.standing(upstream.base_url).ill


async def test_a_worker_that_came_back_gets_its_trial_at_once_and_it_is_said_once(
    prober: Prober, router: Router, clock: Clock, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    worker = router.standing(upstream.base_url)
    phase = router.begin(worker)
    router.unreachable(worker, phase)
    router.ended(worker, phase, None, None)
    upstream.die()
    for _ in range(PROBES_FAILED_MAX + 2):
        await prober.round()
    assert worker.is_hopeless(clock())
    await upstream.come_back()
    await prober.round()
    await prober.round()
    assert (worker.breaker.state, worker.is_welcoming(clock())) == (State.OPEN, True)
    said = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert [" is ill" in line for line in said] == [True, False]


async def test_so_many_are_probed_at_once_and_no_more(router: Router, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots = FixedSnapshots(build(rows(*(f"http://w{number}" for number in range(3 * PROBES_AT_ONCE)))))
    prober = Prober(router, snapshots, 1)
    at_once: list[int] = []
    asked: set[str] = set()
    under_way = 0

    async def look_at(_: Prober, base_url: str) -> None:
        nonlocal under_way
        under_way += 1
        asked.add(base_url)
        await asyncio.sleep(0)
        at_once.append(under_way)
        under_way -= 1

    monkeypatch.setattr(Prober, "_look_at", look_at)
    await prober.round()
    assert len(asked) == 3 * PROBES_AT_ONCE
    assert max(at_once) == PROBES_AT_ONCE


async def test_without_a_snapshot_nobody_is_probed(router: Router) -> None:
    await Prober(router, FixedSnapshots(None), 1).round()


async def test_workers_that_are_gone_are_forgotten(router: Router, upstream: Upstream) -> None:
    snapshots = FixedSnapshots(build(rows(upstream.base_url)))
    prober = Prober(router, snapshots, 1)
    await prober.round()
    snapshots.current = build(rows())
    await prober.round()
    assert not router._standings


async def test_a_gateway_probes_its_workers_until_it_ends(home: Path, upstream: Upstream) -> None:
    snapshots = FixedSnapshots(build(rows(upstream.base_url)))
    async with running_gateway(home, snapshots, probe_interval_s=0.01):
        await until(lambda: upstream.asked.count("/health") > 2)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "probes"]


async def test_a_gateway_that_is_told_not_to_probe_does_not(home: Path, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    async with running_gateway(home, FixedSnapshots(build(rows(upstream.base_url))), probe_interval_s=0) as gateway:
        assert (await post(gateway, chat())).status == 200
    assert upstream.asked == []


async def test_a_queue_that_the_engine_reports_overflows_and_what_is_done_returns(
    home: Path, upstream: Upstream
) -> None:
    made = rows(deployments=[deployment("own", "own", overflow_queue_max=8), deployment("bought", "b", priority=1)])
    async with running_upstream() as other:
        made.workers.extend([Worker("b", other.base_url, "vllm"), Worker("own", upstream.base_url, "vllm")])
        upstream.answer = other.answer = says(whole(completion()))
        async with running_gateway(home, FixedSnapshots(build(made)), probe_interval_s=0.01) as gateway:
            for waiting, expected in ((9, (0, 1)), (8, (1, 1)), (100, (1, 2))):
                upstream.pages = {"/health": whole(b""), "/metrics": metrics(64, waiting)}
                seen = len(upstream.asked)
                await until(lambda seen=seen: len(upstream.asked) >= seen + 5)  # Two whole rounds.
                assert (await post(gateway, chat())).status == 200
                assert (len(upstream.received), len(other.received)) == expected
