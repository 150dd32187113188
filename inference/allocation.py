"""Splits the cost of a pool-hour among the usage that the pool served. Pure; money in whole units of 10^-12.

A group of usage weighs what it took of the devices' time:

    device time = a * (input that was computed) + b * (output and reasoning)

Input from the cache was not computed and weighs nothing. The time that nobody used is idle: by the pool's policy it
stays unallocated, or is spread over those who used the rest. Always: allocated + unallocated = cost, to the last unit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from metering.usage import Unit
from money.split import split

COMPUTED_INPUT = (Unit.INPUT_UNCACHED, Unit.CACHE_WRITE_5M, Unit.CACHE_WRITE_1H)
GENERATED = (Unit.OUTPUT, Unit.REASONING)


class IdlePolicy(StrEnum):
    """Who bears the time in which a pool did nothing."""

    UNALLOCATED = "unallocated"
    PROPORTIONAL = "proportional"


@dataclass(frozen=True)
class Calibration:
    """Device time of a token, in nanoseconds of one device: `a` for computed input and `b` for output."""

    input_ns_per_token: int
    output_ns_per_token: int

    def device_ns(self, units: Mapping[str, int]) -> int:
        """Device time of a usage, given as tokens by unit."""
        computed = sum(units.get(unit, 0) for unit in COMPUTED_INPUT)
        generated = sum(units.get(unit, 0) for unit in GENERATED)
        return self.input_ns_per_token * computed + self.output_ns_per_token * generated


@dataclass(frozen=True)
class Allocation:
    """A cost taken apart: one share a group, in the order of the groups, and the rest."""

    shares: tuple[int, ...]
    unallocated: int

    @property
    def allocated(self) -> int:
        return sum(self.shares)


def allocate(cost: int, used_ns: Sequence[int], available_ns: int, policy: IdlePolicy) -> Allocation:
    """The cost split by device time; `used_ns` has one entry a group.

    Groups that together used more than there was bear the whole cost: the calibration overstates them, but only
    their proportions matter then.
    """
    used = sum(used_ns)
    if used == 0:
        return Allocation((0,) * len(used_ns), cost)
    idle_ns = max(available_ns - used, 0) if policy is IdlePolicy.UNALLOCATED else 0
    *shares, unallocated = split(cost, [*used_ns, idle_ns])
    return Allocation(tuple(shares), unallocated)
