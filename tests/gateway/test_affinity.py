"""Requests that begin alike go to the same worker, few move when workers come or go, and no worker is overloaded."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.affinity import FREE_LOAD, LOAD_SHARE_PERCENT, in_order, key_of_prefix, key_of_session, load_bound
from gateway.standing import Standing

keys = st.integers(0, 2**64 - 1)
counts = st.integers(1, 12)


def workers(count: int, loads: list[int] | None = None) -> list[Standing]:
    made = [Standing(f"http://worker-{number}:8000") for number in range(count)]
    for worker, load in zip(made, loads or [], strict=False):
        worker.open = load
    return made


@given(keys, counts)
def test_the_order_is_the_same_in_every_process_and_however_workers_are_listed(key: int, count: int) -> None:
    order = [worker.base_url for worker in in_order(key, workers(count))]
    assert order == [worker.base_url for worker in in_order(key, workers(count)[::-1])]
    assert sorted(order) == sorted(worker.base_url for worker in workers(count))


@given(keys, counts)
def test_a_new_worker_takes_keys_and_moves_none_between_the_others(key: int, count: int) -> None:
    before = in_order(key, workers(count))[0].base_url
    after = in_order(key, workers(count + 1))[0].base_url
    assert after in (before, f"http://worker-{count}:8000")


def test_keys_are_spread_evenly() -> None:
    made = workers(4)
    firsts = Counter(in_order(key_of_session(1, b"%d" % number), made)[0].base_url for number in range(4000))
    assert len(firsts) == 4
    assert all(850 < count < 1150 for count in firsts.values())


@given(st.lists(keys, min_size=1, max_size=80), st.integers(2, 6))
def test_no_worker_gets_more_than_its_share_however_hot_a_key_is(called: list[int], count: int) -> None:
    made = workers(count)
    for key in called:
        loads = [worker.load for worker in made]
        first = in_order(key, made)[0]
        assert first.load < max(FREE_LOAD, -(-LOAD_SHARE_PERCENT * (sum(loads) + 1) // (100 * count)))
        first.open += 1


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20))
def test_there_is_always_a_worker_below_the_bound(loads: list[int]) -> None:
    assert min(loads) < load_bound(loads)


def test_a_hot_prefix_overflows_to_the_worker_that_is_next_for_it_and_returns() -> None:
    made = workers(3)
    first, second, _ = in_order(7, made)
    first.open = 2 * FREE_LOAD
    assert in_order(7, made)[0] is second
    first.open = 0
    assert in_order(7, made)[0] is first


@given(st.binary(max_size=50), st.binary(max_size=50), st.integers(1, 40))
def test_only_the_beginning_counts(prompt: bytes, other: bytes, prefix_bytes: int) -> None:
    same = prompt[:prefix_bytes] == other[:prefix_bytes]
    found = key_of_prefix(memoryview(prompt), prefix_bytes) == key_of_prefix(memoryview(other), prefix_bytes)
    assert same == found


def test_tenants_do_not_share_sessions() -> None:
    assert key_of_session(1, b"a") != key_of_session(2, b"a")
    assert key_of_session(1, b"a") == key_of_session(1, b"a")
