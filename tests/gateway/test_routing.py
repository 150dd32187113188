"""Who is asked: by priority, by weight, in turn, and the next one where the first cannot be reached."""

from collections import Counter
from pathlib import Path

from gateway.routing import COOL_DOWN_S, MEMORY_MAX, Router
from gateway.snapshot import Sold, build
from inference.snapshot import Worker
from providers.snapshot import Deployment
from tests.gateway.running import MODEL, FixedSnapshots, chat, deployment, post, rows, running_gateway
from tests.gateway.upstreams import Upstream, completion, running_upstream, says, whole

NOBODY = "http://127.0.0.1:1"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def sold(deployments: list[Deployment], *workers: tuple[str, str]) -> Sold:
    made = rows(deployments=deployments)
    made.workers.extend(Worker(upstream, base_url, "vllm") for upstream, base_url in workers)
    return build(made).sold[MODEL]


def names(router: Router, offering: Sold) -> list[str]:
    return [f"{found.slug}@{worker}" for found, worker in router.candidates(offering)]


def test_the_lowest_priority_number_is_tried_first_and_the_others_behind_it() -> None:
    offering = sold(
        [deployment("late", "b", priority=5), deployment("early", "a", priority=1)], ("a", "w1"), ("b", "w2")
    )
    assert names(Router(Clock()), offering) == ["early@w1", "late@w2"]


def test_deployments_of_one_priority_share_by_weight() -> None:
    offering = sold([deployment("one", "a", weight=1), deployment("three", "b", weight=3)], ("a", "w1"), ("b", "w2"))
    router = Router(Clock())
    firsts = Counter(next(router.candidates(offering))[0].slug for _ in range(40))
    assert firsts == {"one": 10, "three": 30}


def test_workers_take_turns() -> None:
    offering = sold([deployment("one", "a")], ("a", "w1"), ("a", "w2"), ("a", "w3"))
    router = Router(Clock())
    assert [names(router, offering)[0] for _ in range(4)] == ["one@w1", "one@w2", "one@w3", "one@w1"]


def test_a_worker_that_could_not_be_reached_is_last_for_a_while() -> None:
    offering = sold([deployment("one", "a")], ("a", "w1"), ("a", "w2"))
    clock = Clock()
    router = Router(clock)
    router.failed("w1")
    assert [names(router, offering) for _ in range(2)] == [["one@w2", "one@w1"]] * 2
    clock.now += COOL_DOWN_S
    assert [names(router, offering)[0] for _ in range(2)] == ["one@w1", "one@w2"]


def test_an_offering_without_workers_has_no_candidates() -> None:
    assert names(Router(Clock()), sold([deployment("one", "a")])) == []


def test_what_is_remembered_is_bounded() -> None:
    router = Router(Clock())
    for number in range(MEMORY_MAX + 5):
        router.failed(f"w{number}")
    assert len(router._unreachable_until) <= MEMORY_MAX


async def test_the_next_worker_answers_where_the_first_cannot_be_reached(home: Path, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    snapshots = FixedSnapshots(build(rows(NOBODY, upstream.base_url)))
    async with running_gateway(home, snapshots) as gateway:
        answered = [(await post(gateway, chat())).status for _ in range(4)]
        assert answered == [200] * 4
        assert len(gateway.records()) == 8


async def test_the_next_deployment_answers_and_is_named_in_the_event(home: Path, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    deployments = [deployment("first", "a", priority=0), deployment("second", "b", priority=1, model_name="other")]
    made = rows(deployments=deployments)
    made.workers.extend([Worker("a", NOBODY, "vllm"), Worker("b", upstream.base_url, "vllm")])
    async with running_gateway(home, FixedSnapshots(build(made))) as gateway:
        assert (await post(gateway, chat())).status == 200
        assert (await gateway.event()).opened.deployment == "second"
    assert upstream.received[0].json["model"] == "other"


async def test_without_a_worker_it_is_a_503_to_be_tried_again_and_nothing_is_recorded(home: Path) -> None:
    for made in (rows(), rows(NOBODY)):
        async with running_gateway(home, FixedSnapshots(build(made))) as gateway:
            answered = await post(gateway, chat())
            assert (answered.status, answered.error["code"]) == (503, "no_worker")
            assert answered.headers["retry-after"] == "1"
            assert gateway.records() == []


async def test_requests_are_spread_over_the_workers(home: Path) -> None:
    async with running_upstream() as one, running_upstream() as other:
        one.answer = other.answer = says(whole(completion()))
        async with running_gateway(home, FixedSnapshots(build(rows(one.base_url, other.base_url)))) as gateway:
            for _ in range(6):
                await post(gateway, chat())
        assert (len(one.received), len(other.received)) == (3, 3)
