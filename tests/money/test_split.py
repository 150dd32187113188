"""The parts of a total add up to it."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from money.errors import NothingToSplitBy
from money.split import split

weights = st.lists(st.integers(0, 10**18), min_size=1, max_size=40).filter(any)
totals = st.integers(-(10**30), 10**30)


@given(totals, weights)
def test_the_parts_sum_to_the_total(total: int, by: list[int]) -> None:
    parts = split(total, by)
    assert sum(parts) == total
    assert len(parts) == len(by)


@given(totals, weights)
def test_each_part_is_within_one_of_its_exact_share(total: int, by: list[int]) -> None:
    for part, weight in zip(split(total, by), by, strict=True):
        assert abs(part - Fraction(total * weight, sum(by))) < 1


@given(totals, weights)
def test_a_credit_is_split_like_its_charge(total: int, by: list[int]) -> None:
    assert split(-total, by) == [-part for part in split(total, by)]


@given(totals, weights)
def test_nothing_goes_to_who_weighs_nothing(total: int, by: list[int]) -> None:
    assert all(part == 0 for part, weight in zip(split(total, by), by, strict=True) if weight == 0)


def test_what_is_left_over_goes_to_the_earlier_position() -> None:
    assert split(100, [1, 1, 1]) == [34, 33, 33]
    assert split(2, [1, 1, 1]) == [1, 1, 0]
    assert split(5, [0, 3, 7]) == [0, 2, 3]


@pytest.mark.parametrize("by", [[], [0], [0, 0], [3, -1], [-1]])
def test_a_total_is_not_split_by_nothing(by: list[int]) -> None:
    with pytest.raises(NothingToSplitBy):
        split(10, by)
