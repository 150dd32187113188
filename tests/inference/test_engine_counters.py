"""The arithmetic of an engine's own counters, and the pages they stand on."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine_counters import (
    ENGINE_COUNTERS,
    Counted,
    CountersUnreadable,
    Reading,
    counted,
    drifts,
    read_counters,
)
from inference.simulator.metrics import Metrics
from tests.inference.samples import NOON

HOUR = timedelta(hours=1)
GAP = timedelta(seconds=45)
VLLM_OLD = """\
# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{model_name="meta-llama/Llama-3.1-8B-Instruct"} 8.128902e+06
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{model_name="meta-llama/Llama-3.1-8B-Instruct"} 7557.0
"""
VLLM_V1 = """\
process_start_time_seconds 1.77314400055e+09
vllm:prompt_tokens_total{engine="0",model_name="llama"} 100.0
vllm:prompt_tokens_total{engine="1",model_name="llama"} 23.0
vllm:prompt_tokens_created{engine="0",model_name="llama"} 1.7731440005e+09
vllm:generation_tokens_total{engine="0",model_name="llama"} 7.0
vllm:generation_tokens_total{engine="1",model_name="adapter"} 5.0
vllm:request_prompt_tokens_sum{engine="0",model_name="llama"} 9999.0
"""


def page(name: str, prompt: object = 7, generation: object = 3) -> str:
    names = next(each for each in ENGINE_COUNTERS if each.engine == name)
    return f'{names.prompt}{{model_name="m"}} {prompt}\n{names.generation}{{model_name="m"}} {generation}\n'


def test_the_counters_of_all_labels_are_added_up() -> None:
    found = read_counters(VLLM_V1)
    assert (found.prompt, found.generation, found.engine.engine) == (123, 12, "vLLM")
    assert found.started_at == datetime(2026, 3, 10, 12, tzinfo=UTC)


def test_a_page_without_the_process_start_and_with_large_numbers_is_read() -> None:
    found = read_counters(VLLM_OLD)
    assert (found.prompt, found.generation, found.started_at) == (8_128_902, 7_557, None)


@pytest.mark.parametrize("engine", [each.engine for each in ENGINE_COUNTERS])
def test_every_engine_is_read_under_its_own_names(engine: str) -> None:
    found = read_counters(page(engine))
    assert (found.prompt, found.generation, found.engine.engine) == (7, 3, engine)


def test_lines_without_labels_and_with_times_are_read() -> None:
    found = read_counters("prompt_tokens_total 5 1773144000000\ngeneration_tokens_total\t6\n")
    assert (found.prompt, found.generation) == (5, 6)


def test_a_label_that_looks_like_a_value_is_none() -> None:
    text = 'vllm:prompt_tokens_total{model_name="} 9 {"} 5\nvllm:generation_tokens_total{model_name="\\n"} 6\n'
    assert read_counters(text)[:2] == (5, 6)


def test_the_simulator_exposes_the_counters_of_vllm() -> None:
    metrics = Metrics('ll"ama', prompt_tokens=11, generation_tokens=5)
    found = read_counters(metrics.text().decode())
    assert (found.prompt, found.generation, found.engine.engine) == (11, 5, "vLLM")


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1", "1.5", "many", "1e30", "1e999999999"])
def test_what_is_no_count_is_refused_by_name(value: str) -> None:
    with pytest.raises(CountersUnreadable, match="vllm:prompt_tokens_total is"):
        read_counters(page("vLLM", prompt=value))


@pytest.mark.parametrize(
    "text", ["", "It works!", "<html>vllm:prompt_tokens_total 5</html>", "vllm:prompt_tokens_total 5\n", "[]"]
)
def test_a_page_without_both_counters_is_refused(text: str) -> None:
    with pytest.raises(CountersUnreadable, match="Turn the engine's metrics on"):
        read_counters(text)


@pytest.mark.parametrize("value", ["soon", "-5", "0", "1e999999999", "NaN"])
def test_a_process_start_that_is_no_time_is_not_known(value: str) -> None:
    assert read_counters(f"process_start_time_seconds {value}\n" + page("vLLM")).started_at is None


def every(seconds: int, *prompts: int, start: datetime = NOON) -> list[Reading]:
    """Readings so many seconds apart; a tenth as many tokens come out as go in."""
    return [Reading(start + timedelta(seconds=seconds * at), prompt, prompt // 10) for at, prompt in enumerate(prompts)]


def test_an_hour_has_the_differences_of_its_readings() -> None:
    found = counted(every(30, 100, 150, 150, 400), NOON, NOON + timedelta(seconds=90), GAP)
    assert found == Counted(prompt=300, generation=30, readings=3)


def test_after_a_restart_counting_begins_at_zero() -> None:
    found = counted(every(30, 1000, 1200, 50, 70), NOON, NOON + timedelta(seconds=90), GAP)
    assert (found.prompt, found.generation, found.restarts, found.gap) == (270, 27, 1, timedelta())


def test_a_restart_that_counted_past_the_last_reading_is_seen_by_the_process_start() -> None:
    before, after = NOON - HOUR, NOON + timedelta(seconds=10)
    readings = [
        Reading(NOON, 100, 10, started_at=before),
        Reading(NOON + timedelta(seconds=30), 500, 50, started_at=after),
    ]
    assert counted(readings, NOON, NOON + timedelta(seconds=30), GAP).prompt == 500
    assert counted(readings, NOON, NOON + timedelta(seconds=30), GAP).restarts == 1


def test_missing_readings_lose_no_token_and_are_a_gap() -> None:
    readings = [*every(30, 0, 10), *every(30, 500, 510, start=NOON + timedelta(seconds=330))]
    found = counted(readings, NOON, NOON + timedelta(seconds=360), GAP)
    assert (found.prompt, found.gap) == (510, timedelta(seconds=300))


def test_a_gap_over_the_end_of_an_hour_belongs_to_both_and_its_tokens_to_the_later() -> None:
    last, first = NOON + HOUR - timedelta(seconds=60), NOON + HOUR + timedelta(seconds=120)
    readings = [Reading(NOON, 0, 0), *[Reading(NOON + timedelta(seconds=30 * at), at, 0) for at in range(1, 119)]]
    assert readings[-1].at == last
    one = counted(readings, NOON, NOON + HOUR, GAP)
    two = counted([readings[-1], Reading(first, 1000, 0)], NOON + HOUR, first, GAP)
    assert (one.prompt, one.gap) == (118, timedelta(seconds=60))
    assert (two.prompt, two.gap) == (1000 - 118, timedelta(seconds=120))


def test_before_the_first_reading_nothing_is_known() -> None:
    found = counted(every(30, 700, 710, start=NOON + HOUR - timedelta(seconds=30)), NOON, NOON + HOUR, GAP)
    assert (found.prompt, found.gap) == (10, HOUR - timedelta(seconds=30))


def test_a_worker_that_was_away_for_the_hour_is_one_gap() -> None:
    assert counted([Reading(NOON - HOUR, 5, 5)], NOON, NOON + HOUR, GAP) == Counted(gap=HOUR)
    assert counted([], NOON, NOON + HOUR, GAP) == Counted(gap=HOUR)


@given(
    st.lists(st.integers(0, 1000), min_size=2, max_size=40),
    st.lists(st.integers(0, 39), max_size=3),
    st.integers(1, 39),
)
def test_the_hours_add_up_to_what_was_counted(tokens: list[int], restarts: list[int], cut: int) -> None:
    """However the time is cut, and wherever an engine begins anew (with a process start to tell it)."""
    readings, total, counter, started = [], 0, 0, NOON - HOUR
    for at, made in enumerate(tokens):
        now = NOON + timedelta(seconds=30 * at)
        if at and at in restarts:
            counter, started = 0, now - timedelta(seconds=1)
        counter += made
        total += made if at else 0
        readings.append(Reading(now, counter, 0, started_at=started))
    end = readings[-1].at
    middle = min(NOON + timedelta(seconds=30 * cut), end)
    head = [reading for reading in readings if reading.at <= middle]
    tail = [head[-1], *[reading for reading in readings if reading.at > middle]]
    parts = counted(head, NOON, middle, GAP) + counted(tail, middle, end, GAP)
    assert parts.prompt == counted(readings, NOON, end, GAP).prompt == total
    assert parts.gap == timedelta()


@pytest.mark.parametrize(
    ("engine", "ours", "found"),
    [(1000, 1000, False), (1000, 980, False), (1000, 979, True), (979, 1000, True), (10, 0, False), (0, 0, False)],
)
def test_a_drift_is_over_the_tolerance_and_over_the_floor(engine: int, ours: int, found: bool) -> None:
    assert drifts(engine, ours, tolerance_percent=2, floor_tokens=10) is found
