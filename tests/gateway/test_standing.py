"""What a gateway knows of a worker: the engine's report, corrected by its own count since."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.breaker import COOL_DOWN_S
from gateway.standing import PROBES_FAILED_MAX, EngineLoad, Standing

numbers = st.integers(0, 500)


def standing(reported: EngineLoad | None = None, *, then: int = 0, now_open: int = 0) -> Standing:
    made = Standing("http://w1")
    made.open = then
    if reported is not None:
        made.probed(reported)
    made.open = now_open
    return made


def test_without_a_report_the_load_is_our_own() -> None:
    assert standing(now_open=3).load == 3


def test_a_report_counts_the_requests_of_other_gateways_too() -> None:
    assert standing(EngineLoad(10, 2), then=4, now_open=4).load == 12


def test_what_we_sent_and_settled_since_the_report_corrects_it() -> None:
    assert standing(EngineLoad(10, 2), then=4, now_open=7).load == 15
    assert standing(EngineLoad(10, 2), then=4, now_open=1).load == 9


@given(numbers, numbers, numbers, numbers)
def test_the_load_is_never_below_our_own_count(running: int, waiting: int, then: int, now_open: int) -> None:
    made = standing(EngineLoad(running, waiting), then=then, now_open=now_open)
    assert made.load >= now_open
    assert made.queue(None) >= 0


def test_with_a_known_capacity_the_queue_needs_no_report() -> None:
    assert standing(now_open=5).queue(3) == 2
    assert standing(now_open=2).queue(3) == 0


def test_without_a_known_capacity_only_the_report_shows_a_queue() -> None:
    assert standing(now_open=50).queue(None) == 0
    assert standing(EngineLoad(8, 0), now_open=50).queue(None) == 0
    assert standing(EngineLoad(8, 3), now_open=2).queue(None) == 5


def test_a_worker_is_ill_after_probes_in_a_row_and_well_after_one_answer() -> None:
    made = standing()
    for _ in range(PROBES_FAILED_MAX):
        assert made.is_welcoming(0)
        made.probe_failed()
    assert not made.is_welcoming(0)
    assert not made.is_hopeless(0)
    made.probed(None)
    assert made.is_welcoming(0)


def test_a_worker_is_hopeless_where_neither_requests_nor_probes_succeed() -> None:
    made = standing()
    for _ in range(PROBES_FAILED_MAX):
        made.probe_failed()
    made.breaker.failed(made.breaker.begin(0), 0, certain=True)
    assert made.is_hopeless(0)
    assert not made.is_hopeless(COOL_DOWN_S)
