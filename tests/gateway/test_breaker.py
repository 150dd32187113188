"""The circuit breaker: it opens, waits, tries once, and opens again or closes."""

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from gateway.breaker import COOL_DOWN_MAX_S, COOL_DOWN_S, FAILURES_MAX, Breaker, State


def state(breaker: Breaker) -> str:
    return breaker.state


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    breaker.failed(breaker.begin(now), now, certain=True)
    return breaker


def test_it_opens_after_so_many_failures_in_a_row_and_not_before() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_MAX - 1):
        breaker.failed(breaker.begin(0), 0)
    breaker.succeeded(breaker.begin(0))
    for _ in range(FAILURES_MAX - 1):
        breaker.failed(breaker.begin(0), 0)
    assert state(breaker) == State.CLOSED
    breaker.failed(breaker.begin(0), 0)
    assert state(breaker) == State.OPEN


def test_one_failure_is_enough_where_nobody_is_there() -> None:
    assert opened().state is State.OPEN


def test_after_the_cool_down_one_request_is_the_trial() -> None:
    breaker = opened()
    assert not breaker.allows(COOL_DOWN_S - 0.1)
    assert breaker.allows(COOL_DOWN_S)
    breaker.begin(COOL_DOWN_S)
    assert state(breaker) == State.HALF_OPEN
    assert not breaker.allows(COOL_DOWN_S)


def test_a_good_trial_closes_it() -> None:
    breaker = opened()
    breaker.succeeded(breaker.begin(COOL_DOWN_S))
    assert state(breaker) == State.CLOSED


def test_a_bad_trial_opens_it_for_twice_as_long() -> None:
    breaker = opened()
    breaker.failed(breaker.begin(COOL_DOWN_S), COOL_DOWN_S)
    assert not breaker.allows(3 * COOL_DOWN_S - 0.1)
    assert breaker.allows(3 * COOL_DOWN_S)


def test_a_trial_without_a_verdict_makes_room_for_the_next() -> None:
    breaker = opened()
    breaker.dropped(breaker.begin(COOL_DOWN_S), COOL_DOWN_S)
    assert breaker.allows(COOL_DOWN_S)


def test_a_long_trial_makes_room_for_another_and_still_counts() -> None:
    breaker = opened()
    trial = breaker.begin(COOL_DOWN_S)
    assert breaker.allows(2 * COOL_DOWN_S)
    breaker.begin(2 * COOL_DOWN_S)
    breaker.succeeded(trial)
    assert state(breaker) == State.CLOSED


def test_what_was_sent_before_it_opened_says_nothing_about_after() -> None:
    breaker = Breaker()
    early = breaker.begin(0)
    breaker.failed(breaker.begin(0), 0, certain=True)
    breaker.succeeded(early)
    assert state(breaker) == State.OPEN


def test_a_sign_of_recovery_lets_the_trial_begin_at_once() -> None:
    breaker = opened()
    breaker.expect_recovery(0.5)
    assert breaker.allows(0.5)


class AnyBreaker(RuleBasedStateMachine):
    """Whatever happens in whatever order."""

    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now = 0.0

    @rule(seconds=st.floats(0, COOL_DOWN_MAX_S))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=requests)
    def a_request_begins(self) -> tuple[int, bool]:
        welcome = self.breaker.allows(self.now)
        closed = self.breaker.state is State.CLOSED
        phase = self.breaker.begin(self.now)
        assert welcome or self.breaker.state is not State.CLOSED
        if welcome and not closed:
            assert self.breaker.state is State.HALF_OPEN
            assert not self.breaker.allows(self.now)
        return phase, closed

    @rule(request=consumes(requests))
    def it_succeeds(self, request: tuple[int, bool]) -> None:
        before = self.breaker.state
        self.breaker.succeeded(request[0])
        assert self.breaker.state in (before, State.CLOSED)
        if before is not State.CLOSED and self.breaker.state is State.CLOSED:
            assert not request[1]

    @rule(request=consumes(requests), certain=st.booleans())
    def it_fails(self, request: tuple[int, bool], certain: bool) -> None:
        before = self.breaker.state
        self.breaker.failed(request[0], self.now, certain=certain)
        if self.breaker.state is not before:
            assert self.breaker.state is State.OPEN
            assert not self.breaker.allows(self.now)

    @rule(request=consumes(requests))
    def its_caller_leaves(self, request: tuple[int, bool]) -> None:
        before = self.breaker.state
        self.breaker.dropped(request[0], self.now)
        assert self.breaker.state is before

    @rule()
    def a_probe_is_answered(self) -> None:
        before = self.breaker.state
        self.breaker.expect_recovery(self.now)
        assert self.breaker.state is before

    @precondition(lambda self: self.breaker.state is State.CLOSED)
    @rule()
    def enough_failures_open_it(self) -> None:
        for _ in range(FAILURES_MAX):
            self.breaker.failed(self.breaker.begin(self.now), self.now)
        assert self.breaker.state is State.OPEN

    @invariant()
    def it_shuts_nobody_out_for_longer_than_the_longest_cool_down(self) -> None:
        assert self.breaker.allows(self.now + COOL_DOWN_MAX_S)

    @invariant()
    def closed_it_lets_everything_through(self) -> None:
        assert self.breaker.state is not State.CLOSED or self.breaker.allows(self.now)


TestAnyBreaker = AnyBreaker.TestCase
