"""The arithmetic of leases: nothing comes from nowhere, and nothing is given back twice."""

from hypothesis import given
from hypothesis import strategies as st

from billing.windows import Window
from gateway.admission.leases import Hold, Lease
from gateway.admission.terms import Draws, Quota

QUOTA = Quota("budget:1", Draws.TOKENS, 10**9, "total", "this account")
amounts = st.integers(0, 1000)


def lease_of(free: int) -> Lease:
    lease = Lease("tokenworks:budget:1:0", QUOTA, Window(0, None), 0, 0)
    lease.granted(free)
    return lease


def taken(lease: Lease) -> int:
    return lease.spent + lease.held + lease.free


@given(free=amounts, wanted=amounts)
def test_a_hold_is_whole_or_nothing(free: int, wanted: int) -> None:
    lease = lease_of(free)
    assert lease.hold(wanted) is (wanted <= free)
    assert lease.held == (wanted if wanted <= free else 0)
    assert taken(lease) == free


@given(free=st.integers(-1000, 1000), wanted=amounts)
def test_what_is_held_of_it_is_never_more_than_is_free(free: int, wanted: int) -> None:
    lease = lease_of(free)
    part = lease.hold_up_to(wanted)
    assert part == max(0, min(free, wanted))
    assert (lease.held, taken(lease)) == (part, free)


@given(free=amounts, requests=st.lists(st.tuples(amounts, amounts, amounts), max_size=20))
def test_no_sequence_of_requests_changes_what_was_taken(free: int, requests: list[tuple[int, int, int]]) -> None:
    lease = lease_of(free)
    holds = []
    for wanted, used, kept in requests:
        hold = Hold([(lease, lease.hold_up_to(wanted))])
        hold.shrink([kept])
        hold.charge([used])
        holds.append(hold)
        assert taken(lease) == free
        assert lease.held >= 0
    for hold in holds:
        hold.release()
        hold.release()
    assert lease.held == 0
    assert lease.spent == sum(used for _, used, _ in requests)
    assert taken(lease) == free


@given(free=amounts, held=amounts, used=amounts)
def test_what_is_used_within_a_hold_takes_nothing_that_is_free(free: int, held: int, used: int) -> None:
    lease = lease_of(free + held)
    lease.hold(held)
    left = lease.charge(min(used, held), held)
    assert (lease.spent, lease.held, left, lease.free) == (min(used, held), left, held - min(used, held), free)


@given(held=amounts, more=st.integers(1, 1000))
def test_what_is_used_beyond_a_hold_is_owed_and_not_forgotten_when_it_is_given_back(held: int, more: int) -> None:
    lease = lease_of(held)
    lease.hold(held)
    assert lease.charge(held + more, held) == 0
    lease.give_back()
    assert (lease.spent, lease.free, lease.leased) == (held + more, -more, 0)


@given(free=amounts, held=amounts)
def test_what_is_given_back_is_what_is_free_and_never_what_is_held(free: int, held: int) -> None:
    lease = lease_of(free + held)
    lease.hold(held)
    lease.give_back()
    assert (lease.free, lease.held, lease.leased) == (0, held, held)
