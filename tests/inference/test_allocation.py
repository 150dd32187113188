import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.allocation import Allocation, Calibration, IdlePolicy, allocate

costs = st.integers(0, 10**18)
times = st.lists(st.integers(0, 10**16), max_size=30)
policies = st.sampled_from(IdlePolicy)


@given(costs, times, st.integers(0, 10**17), policies)
def test_allocated_and_unallocated_add_up_to_the_cost(
    cost: int, used: list[int], available: int, policy: IdlePolicy
) -> None:
    split = allocate(cost, used, available, policy)
    assert split.allocated + split.unallocated == cost
    assert all(share >= 0 for share in (*split.shares, split.unallocated))
    assert len(split.shares) == len(used)


@given(costs, times, st.integers(0, 10**17), policies)
def test_more_device_time_never_bears_less(cost: int, used: list[int], available: int, policy: IdlePolicy) -> None:
    shares = allocate(cost, used, available, policy).shares
    for one, other in zip(
        sorted(zip(used, shares, strict=True)), sorted(zip(used, shares, strict=True))[1:], strict=False
    ):
        assert one[0] == other[0] or one[1] <= other[1]


@given(costs, times, st.integers(0, 10**17))
def test_each_share_is_within_one_unit_of_its_part(cost: int, used: list[int], available: int) -> None:
    split = allocate(cost, used, available, IdlePolicy.UNALLOCATED)
    whole = max(available, sum(used))
    for ns, share in zip(used, split.shares, strict=True):
        assert whole == 0 or abs(share * whole - cost * ns) < whole


def test_idle_time_stays_unallocated() -> None:
    assert allocate(1000, [10, 30], 100, IdlePolicy.UNALLOCATED) == Allocation((100, 300), 600)


def test_idle_time_is_spread_over_the_users() -> None:
    assert allocate(1000, [10, 30], 100, IdlePolicy.PROPORTIONAL) == Allocation((250, 750), 0)


@pytest.mark.parametrize("policy", list(IdlePolicy))
@pytest.mark.parametrize("used", [[], [0], [0, 0]])
def test_an_hour_without_use_is_wholly_unallocated(policy: IdlePolicy, used: list[int]) -> None:
    split = allocate(1000, used, 100, policy)
    assert (split.allocated, split.unallocated) == (0, 1000)


@pytest.mark.parametrize("policy", list(IdlePolicy))
def test_more_use_than_there_was_time_bears_the_whole_cost(policy: IdlePolicy) -> None:
    assert allocate(1000, [100, 300], 100, policy) == Allocation((250, 750), 0)


@pytest.mark.parametrize(
    ("units", "device_ns"),
    [
        ({}, 0),
        ({"request": 5}, 0),
        ({"input_uncached": 10}, 30),
        ({"input_cached": 10}, 0),
        ({"cache_write_5m": 1, "cache_write_1h": 1}, 6),
        ({"output": 10}, 70),
        ({"output": 10, "reasoning": 2}, 84),
        ({"input_uncached": 10, "input_cached": 99, "output": 1, "request": 1}, 37),
    ],
)
def test_device_time_counts_what_was_computed_and_not_what_was_cached(units: dict[str, int], device_ns: int) -> None:
    assert Calibration(input_ns_per_token=3, output_ns_per_token=7).device_ns(units) == device_ns
