"""Usage as OpenAI reports it becomes counts that do not overlap."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.usage import COUNT_MAX, Usage, UsageSource
from providers.dialects.dialect import Counted
from providers.dialects.openai_usage import UsageCount

TOKENS = st.integers(0, COUNT_MAX // 4)


def counted(*reports: Any) -> Counted:
    count = UsageCount()
    for report in reports:
        count.take(json.dumps(report).encode())
    return count.counted(UsageSource.REPORTED)


def report(prompt: int, completion: int, cached: int | None = None, reasoning: int | None = None) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


@given(TOKENS, TOKENS, TOKENS, TOKENS)
def test_the_units_add_up_to_the_reported_totals(uncached: int, cached: int, output: int, reasoning: int) -> None:
    found = counted(report(uncached + cached, output + reasoning, cached, reasoning))
    assert found.usage == Usage(input_uncached=uncached, input_cached=cached, output=output, reasoning=reasoning)
    assert found.flaw is None


def test_cached_tokens_inside_the_prompt_are_counted_once() -> None:
    assert counted(report(100, 5, cached=90)).usage == Usage(input_uncached=10, input_cached=90, output=5)


def test_what_was_not_reported_is_unknown_and_not_zero() -> None:
    assert counted({"prompt_tokens": 3}).usage == Usage(input_uncached=3)
    assert counted({"prompt_tokens": None, "completion_tokens": 4}).usage == Usage(output=4)


def test_an_explicit_zero_counts() -> None:
    assert counted(report(7, 0, cached=0, reasoning=0)).usage == Usage(
        input_uncached=7, input_cached=0, output=0, reasoning=0
    )


def test_the_last_value_of_each_field_wins_and_nothing_is_added() -> None:
    assert counted(report(9, 1), report(9, 2), report(9, 3)).usage == Usage(input_uncached=9, output=3)


def test_a_field_keeps_its_value_where_a_later_report_is_silent_about_it() -> None:
    found = counted(report(9, 1, cached=4), {"completion_tokens": 2})
    assert found.usage == Usage(input_uncached=5, input_cached=4, output=2)


def test_a_lower_last_value_wins_too() -> None:
    assert counted(report(9, 8), report(9, 5)).usage.output == 5


def test_the_upstreams_own_words_are_kept() -> None:
    count = UsageCount()
    words = b'{ "prompt_tokens" : 1.0e0, "x": [ ] }'
    count.take(words)
    assert count.counted(UsageSource.REPORTED).upstream_usage == words


def test_nothing_reported_is_nothing_known() -> None:
    assert counted() == Counted(Usage(), UsageSource.NONE, None)
    assert counted({}) == Counted(Usage(), UsageSource.NONE, b"{}")


@pytest.mark.parametrize(
    ("impossible", "flaw"),
    [
        (report(10, 5, cached=11), "11 cached tokens are more than the 10 prompt tokens"),
        (report(10, 5, reasoning=6), "6 reasoning tokens are more than the 5 completion tokens"),
        (report(-1, 5), "cannot be read"),
        (report(2**60, 5), "cannot be read"),
        (report(COUNT_MAX + 1, 5), "more than any request uses"),
        ({"prompt_tokens": 1.5}, "cannot be read"),
        ({"prompt_tokens": "12"}, "cannot be read"),
        ({"prompt_tokens": True}, "cannot be read"),
        ([1, 2], "cannot be read"),
        ("many", "cannot be read"),
    ],
)
def test_counts_that_cannot_be_true_are_flagged_and_unknown(impossible: Any, flaw: str) -> None:
    found = counted(impossible)
    assert (found.usage, found.source) == (Usage(), UsageSource.NONE)
    assert flaw in (found.flaw or "")
    assert json.loads(found.upstream_usage or b"") == impossible


def test_choices_that_sum_to_more_than_any_request_uses_are_unknown() -> None:
    count = UsageCount(answers=2)
    for choice in (0, 1):
        count.take_of(choice, json.dumps(report(10, COUNT_MAX)).encode())
    found = count.counted(UsageSource.RUNNING_COUNT)
    assert found.usage == Usage()
    assert "more than any request uses" in (found.flaw or "")


def test_a_good_report_after_a_bad_one_counts() -> None:
    assert counted({"prompt_tokens": "12"}, report(12, 1)).usage == Usage(input_uncached=12, output=1)


def test_a_total_that_does_not_add_up_is_flagged() -> None:
    found = counted({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 16})
    assert found.usage == Usage(input_uncached=10, output=5)
    assert found.flaw == "10 prompt and 5 completion tokens are not 16 in total"


def test_words_over_the_limit_are_counted_and_not_kept() -> None:
    found = counted({**report(10, 5), "x": "y" * 16_384})
    assert found.usage == Usage(input_uncached=10, output=5)
    assert found.upstream_usage is None
    assert "over 16384 bytes" in (found.flaw or "")


def of_several(*reports: tuple[int, Any], prompts: int = 1, answers: int = 1) -> UsageCount:
    count = UsageCount(prompts, answers)
    for choice, each in reports:
        count.take_of(choice, json.dumps(each).encode())
    return count


def test_running_counts_of_several_answers_are_each_newest_added_up_and_their_prompt_counts_once() -> None:
    reports = [(choice, {"prompt_tokens": 9, "completion_tokens": n}) for n in range(1, 4) for choice in range(4)]
    counted = of_several(*reports[:-1], answers=4).counted(UsageSource.RUNNING_COUNT)
    assert counted.usage == Usage(input_uncached=9, output=3 + 3 + 3 + 2)


def test_each_of_several_prompts_counts_once() -> None:
    reports = [(0, report(5, 1)), (1, report(5, 2)), (2, report(7, 3)), (3, report(7, 4)), (0, report(5, 2))]
    counted = of_several(*reports, prompts=2, answers=2).counted(UsageSource.RUNNING_COUNT)
    assert counted.usage == Usage(input_uncached=12, output=11)


def test_the_usage_of_the_whole_wins_over_what_was_added_up() -> None:
    count = of_several((0, report(9, 5)), (1, report(9, 5)), answers=2)
    count.take(json.dumps(report(9, 11)).encode())
    assert count.counted(UsageSource.REPORTED).usage == Usage(input_uncached=9, output=11)


@pytest.mark.parametrize("choice", [-1, 2, 2**70])
def test_a_choice_that_was_not_asked_for_is_a_flaw(choice: int) -> None:
    counted = of_several((0, report(9, 5)), (choice, report(9, 5)), answers=2).counted(UsageSource.RUNNING_COUNT)
    assert counted.usage == Usage()
    assert "none of the 2" in (counted.flaw or "")
