"""Who is asked: by priority, cost, weight and load, and the next one where the first cannot be reached."""

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.breaker import COOL_DOWN_S, FAILURES_MAX
from gateway.routing import MEMORY_MAX, Router
from gateway.snapshot import Sold, build
from gateway.standing import PROBES_FAILED_MAX, EngineLoad
from inference.snapshot import Worker
from metering.usage import Outcome
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
    return [f"{found.slug}@{worker.base_url}" for found, worker in router.candidates(offering)]


def unreachable(router: Router, base_url: str) -> None:
    worker = router.standing(base_url)
    phase = router.begin(worker)
    router.unreachable(worker, phase)
    router.ended(worker, phase, None, None)


def failed(router: Router, base_url: str) -> None:
    worker = router.standing(base_url)
    router.ended(worker, router.begin(worker), Outcome.UPSTREAM_FAILED, 500)


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
    unreachable(router, "w1")
    assert [names(router, offering) for _ in range(2)] == [["one@w2", "one@w1"]] * 2
    clock.now += COOL_DOWN_S
    assert {names(router, offering)[0] for _ in range(2)} == {"one@w1", "one@w2"}


def test_a_deployment_with_one_address_has_a_breaker_of_its_own() -> None:
    offering = sold([deployment("first", "a"), deployment("second", "b", priority=1)], ("a", "w1"), ("b", "w2"))
    clock = Clock()
    router = Router(clock)
    for _ in range(FAILURES_MAX):
        assert names(router, offering) == ["first@w1", "second@w2"]
        failed(router, "w1")
    assert names(router, offering) == ["second@w2", "first@w1"]
    clock.now += COOL_DOWN_S
    assert names(router, offering) == ["first@w1", "second@w2"]


def test_one_bad_worker_does_not_switch_off_its_deployment() -> None:
    deployments = [deployment("first", "a"), deployment("second", "b", priority=1)]
    offering = sold(deployments, ("a", "w1"), ("a", "w2"), ("b", "w3"))
    router = Router(Clock())
    unreachable(router, "w1")
    assert names(router, offering) == ["first@w2", "second@w3", "first@w1"]


def test_deployments_of_several_models_at_one_address_share_its_breaker() -> None:
    router = Router(Clock())
    for _ in range(FAILURES_MAX):
        failed(router, "w1")
    for slug in ("one-model", "another-model"):
        offering = sold([deployment(slug, "a"), deployment("behind", "b", priority=1)], ("a", "w1"), ("b", "w2"))
        assert names(router, offering) == ["behind@w2", f"{slug}@w1"]


def test_of_one_priority_the_cheapest_is_tried_first() -> None:
    offering = sold(
        [deployment("dear", "a", relative_cost=9), deployment("cheap", "b", relative_cost=2)], ("a", "w1"), ("b", "w2")
    )
    router = Router(Clock())
    assert [names(router, offering) for _ in range(2)] == [["cheap@w2", "dear@w1"]] * 2


def test_priority_comes_before_cost() -> None:
    offering = sold(
        [deployment("own", "a", relative_cost=9), deployment("bought", "b", priority=1)], ("a", "w1"), ("b", "w2")
    )
    assert names(Router(Clock()), offering) == ["own@w1", "bought@w2"]


def test_the_worker_with_the_least_to_do_is_first() -> None:
    offering = sold([deployment("one", "a")], ("a", "w1"), ("a", "w2"), ("a", "w3"))
    router = Router(Clock())
    router.begin(router.standing("w1"))
    router.standing("w3").probed(EngineLoad(2, 3))
    assert [names(router, offering) for _ in range(3)] == [["one@w2", "one@w1", "one@w3"]] * 3


def test_where_a_queue_is_over_its_maximum_the_deployments_behind_it_are_tried_first() -> None:
    offering = sold(
        [deployment("own", "a", overflow_queue_max=4), deployment("bought", "b", priority=1)], ("a", "w1"), ("b", "w2")
    )
    router = Router(Clock())
    router.standing("w1").probed(EngineLoad(running=64, waiting=4))
    assert names(router, offering) == ["own@w1", "bought@w2"]
    router.begin(router.standing("w1"))
    assert names(router, offering) == ["bought@w2", "own@w1"]
    router.standing("w1").probed(EngineLoad(running=64, waiting=0))
    assert names(router, offering) == ["own@w1", "bought@w2"]


def test_a_worker_at_which_neither_requests_nor_probes_succeed_is_not_asked() -> None:
    for workers in ([("a", "w1")], [("a", "w1"), ("a", "w2")]):
        offering = sold([deployment("one", "a")], *workers)
        router = Router(Clock())
        unreachable(router, "w1")
        for _ in range(PROBES_FAILED_MAX):
            router.standing("w1").probe_failed()
        assert "one@w1" not in names(router, offering)
        router.standing("w1").probed(None)
        assert "one@w1" in names(router, offering)


def test_what_is_in_use_is_not_forgotten() -> None:
    router = Router(Clock())
    router.begin(router.standing("busy"))
    for base_url in ("known", "gone"):
        unreachable(router, base_url)
    router.keep({"known"})
    assert set(router._standings) == {"busy", "known"}


def test_of_deployments_that_share_the_one_with_the_least_to_do_for_its_weight_is_first() -> None:
    offering = sold([deployment("one", "a", weight=1), deployment("three", "b", weight=3)], ("a", "w1"), ("b", "w2"))
    router = Router(Clock())
    for _ in range(2):
        router.begin(router.standing("w2"))
    assert [names(router, offering)[0] for _ in range(4)] == ["one@w1"] * 4
    router.begin(router.standing("w1"))
    assert [names(router, offering)[0] for _ in range(4)] == ["three@w2"] * 4


rows_of_deployments = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 5), st.none() | st.integers(0, 2)), max_size=5
)
happenings = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["begin", "fail", "probe", "ill"])), max_size=30)


@given(rows_of_deployments, happenings, st.none() | st.integers(0, 2**64 - 1))
def test_whatever_happened_every_worker_with_hope_is_a_candidate_once(
    drawn: list[tuple[int, int, int, int | None]], happened: list[tuple[int, str]], key: int | None
) -> None:
    deployments = [
        deployment(
            f"d{place}",
            f"u{place % 2}",
            priority=row[0],
            relative_cost=row[1],
            weight=row[2],
            overflow_queue_max=row[3],
        )
        for place, row in enumerate(drawn)
    ]
    offering = sold(deployments, *((f"u{number % 2}", f"w{number}") for number in (0, 2, 4, 1, 3)))
    router = Router(Clock())
    for number, what in happened:
        worker = router.standing(f"w{number}")
        if what == "begin":
            router.begin(worker)
        elif what == "fail":
            unreachable(router, worker.base_url)
        elif what == "probe":
            worker.probed(EngineLoad(number, 9))
        else:
            worker.probe_failed()
    found = [(each.slug, worker.base_url) for each, worker in router.candidates(offering, lambda _: key)]
    assert len(found) == len(set(found))
    hopeful = {f"w{number}" for number in range(5) if not router.standing(f"w{number}").is_hopeless(100.0)}
    assert {worker for _, worker in found} == {
        worker for worker in hopeful if any(each.upstream == f"u{int(worker[1]) % 2}" for each in deployments)
    }


def test_an_offering_without_workers_has_no_candidates() -> None:
    assert names(Router(Clock()), sold([deployment("one", "a")])) == []


def test_what_is_remembered_is_bounded() -> None:
    router = Router(Clock())
    for number in range(MEMORY_MAX + 5):
        unreachable(router, f"w{number}")
    assert len(router._standings) <= MEMORY_MAX


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
