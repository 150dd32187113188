"""Retries are a share of the requests, whatever happens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.retrying import BUDGET_MAX, RetryBudget, refused_to_work


@given(st.lists(st.booleans(), max_size=400), st.integers(0, 100))
def test_retries_never_exceed_their_share_and_the_reserve(calls: list[bool], percent: int) -> None:
    budget = RetryBudget(percent)
    requests = retries = 0
    for is_request in calls:
        if is_request:
            budget.earn()
            requests += 1
        else:
            retries += budget.spend()
        assert 100 * retries <= 100 * BUDGET_MAX + percent * requests


def test_the_budget_begins_full_is_spent_and_comes_back_with_requests() -> None:
    budget = RetryBudget(20)
    assert [budget.spend() for _ in range(BUDGET_MAX + 1)] == [True] * BUDGET_MAX + [False]
    for _ in range(4):
        budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()


def test_without_a_share_there_are_no_retries() -> None:
    budget = RetryBudget(0)
    budget.earn()
    assert not budget.spend()


@pytest.mark.parametrize(("status", "refused"), [(200, False), (400, False), (429, True), (500, True), (503, True)])
def test_a_429_and_every_5xx_say_that_the_work_was_not_done(status: int, refused: bool) -> None:
    assert refused_to_work(status) is refused
