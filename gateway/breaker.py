"""A circuit breaker: who fails again and again is left in peace for a while, and then tried with one request. Pure.

    closed     requests pass; FAILURES_MAX failures in a row, or one that is certain, open it
    open       for a cool-down that doubles with every failed trial: no request is meant for it
    half-open  one request is the trial: its success closes, its failure opens again. A trial that takes longer than
               the cool-down makes room for one more, so that a single long answer keeps nobody out

A verdict counts only in the phase in which its request began: what was sent before the breaker opened says nothing
about the time after.
"""

from enum import StrEnum

FAILURES_MAX = 5
COOL_DOWN_S = 3.0
COOL_DOWN_MAX_S = 30.0


class State(StrEnum):
    """What a breaker lets through: everything, nothing, or one trial."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """The breaker of one worker. Times are seconds of one clock; a phase is what `begin` gives and a verdict names."""

    __slots__ = ("_cool_down_s", "_failures", "_phase", "_until", "state")

    def __init__(self) -> None:
        self.state = State.CLOSED
        self._phase = 0
        self._failures = 0  # In a row.
        self._cool_down_s = COOL_DOWN_S
        self._until = 0.0  # While not closed: when the next trial may begin.

    def allows(self, now: float) -> bool:
        """Whether a request is welcome: always when closed, else when a trial is due."""
        return self.state is State.CLOSED or now >= self._until

    def begin(self, now: float) -> int:
        """A request is sent, welcome or not; gives its phase. A welcome one that finds it open is the trial."""
        if self.state is not State.CLOSED and now >= self._until:
            self.state = State.HALF_OPEN
            self._until = now + self._cool_down_s
        return self._phase

    def succeeded(self, phase: int) -> None:
        """A request ended well."""
        if phase != self._phase:
            return
        self._failures = 0
        if self.state is not State.CLOSED:
            self._phase += 1
            self.state = State.CLOSED
            self._cool_down_s = COOL_DOWN_S

    def failed(self, phase: int, now: float, *, certain: bool = False) -> None:
        """A request failed. `certain` says that nobody is there, and one failure is enough."""
        if phase != self._phase:
            return
        if self.state is State.CLOSED:
            self._failures += 1
            if certain or self._failures >= FAILURES_MAX:
                self._open(now)
        elif self.state is State.HALF_OPEN:
            self._cool_down_s = min(2 * self._cool_down_s, COOL_DOWN_MAX_S)
            self._open(now)

    def dropped(self, phase: int, now: float) -> None:
        """A request ended without a verdict, for its caller left. If it was a trial, the next one may be."""
        if phase == self._phase and self.state is State.HALF_OPEN:
            self._until = now

    def expect_recovery(self, now: float) -> None:
        """Something says that it works again: the trial may begin at once."""
        if self.state is State.OPEN:
            self._until = now

    def _open(self, now: float) -> None:
        self._phase += 1
        self._failures = 0
        self.state = State.OPEN
        self._until = now + self._cool_down_s
