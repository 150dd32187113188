"""What a request used: counts by unit that do not overlap, and how it ended. Pure."""

from enum import StrEnum

import msgspec

COUNT_MAX = 2**63 - 1  # What a bigint column holds.


class ImpossibleUsage(ValueError):
    """A count of usage is negative, or larger than any request can be."""


class Unit(StrEnum):
    """What is counted. Units do not overlap: a token is in exactly one of them, so that it is billed once."""

    INPUT_UNCACHED = "input_uncached"
    INPUT_CACHED = "input_cached"
    CACHE_WRITE_5M = "cache_write_5m"
    CACHE_WRITE_1H = "cache_write_1h"
    OUTPUT = "output"
    REASONING = "reasoning"
    REQUEST = "request"


INPUT_UNITS = (Unit.INPUT_UNCACHED, Unit.INPUT_CACHED, Unit.CACHE_WRITE_5M, Unit.CACHE_WRITE_1H)
OUTPUT_UNITS = (Unit.OUTPUT, Unit.REASONING)
TOKEN_UNITS = INPUT_UNITS + OUTPUT_UNITS


class Outcome(StrEnum):
    """How a request ended."""

    COMPLETED = "completed"  # The answer was relayed to its end.
    CLIENT_DISCONNECTED = "client_disconnected"  # The client hung up before the end.
    UPSTREAM_REJECTED = "upstream_rejected"  # The upstream answered with a 4xx.
    UPSTREAM_FAILED = "upstream_failed"  # 5xx, cut, garbage or time-out.
    INTERRUPTED = "interrupted"  # Our own crash or our own disk: never billed.


class UsageSource(StrEnum):
    """Where the counts came from."""

    REPORTED = "reported"  # The upstream's final usage.
    RUNNING_COUNT = "running_count"  # The last continuous count before an abort.
    NONE = "none"  # Nothing is known, which is not zero.


class Usage(msgspec.Struct, frozen=True, array_like=True):
    """Tokens of one request, by unit. None means that nobody reported it; it is never taken for 0.

    New units are added at the end, with the default None: journals written before are then still read.
    """

    input_uncached: int | None = None
    input_cached: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    output: int | None = None
    reasoning: int | None = None

    def __post_init__(self) -> None:
        for count in (
            self.input_uncached,
            self.input_cached,
            self.cache_write_5m,
            self.cache_write_1h,
            self.output,
            self.reasoning,
        ):
            if count is not None and not 0 <= count <= COUNT_MAX:
                raise ImpossibleUsage(f"A count of {count} is not from 0 to {COUNT_MAX}: {self.units()}")

    @property
    def known(self) -> bool:
        """Whether anything at all was reported, be it 0."""
        return bool(self.units())

    def units(self) -> dict[str, int]:
        """The reported counts by name of their unit, in the order of the fields; without "request"."""
        named = (
            ("input_uncached", self.input_uncached),
            ("input_cached", self.input_cached),
            ("cache_write_5m", self.cache_write_5m),
            ("cache_write_1h", self.cache_write_1h),
            ("output", self.output),
            ("reasoning", self.reasoning),
        )
        return {unit: count for unit, count in named if count is not None}


def billed(outcome: str, usage: Usage) -> bool:
    """Whether a request is billed: it ended at the client's side, and what it used is known."""
    return outcome in (Outcome.COMPLETED, Outcome.CLIENT_DISCONNECTED) and usage.known
