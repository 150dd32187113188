"""What a request used: counts by unit that do not overlap, and how it ended. Pure."""

from enum import StrEnum

import msgspec
from msgspec.structs import astuple

COUNT_MAX = 10**12  # Of one unit in one event. No request uses so much, and a bucket holds nine million of them.


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
    AUDIO_INPUT = "audio_input"
    AUDIO_OUTPUT = "audio_output"
    IMAGE = "image"
    SECOND = "second"
    CHARACTER = "character"
    REQUEST = "request"


INPUT_UNITS = (Unit.INPUT_UNCACHED, Unit.INPUT_CACHED, Unit.CACHE_WRITE_5M, Unit.CACHE_WRITE_1H, Unit.AUDIO_INPUT)
OUTPUT_UNITS = (Unit.OUTPUT, Unit.REASONING, Unit.AUDIO_OUTPUT)
TOKEN_UNITS = INPUT_UNITS + OUTPUT_UNITS
REPORTED_UNITS = tuple(unit for unit in Unit if unit is not Unit.REQUEST)  # In the order of Usage's fields.


class ServiceTier(StrEnum):
    """How soon an answer was wanted. A price book says what each costs."""

    STANDARD = "standard"
    BATCH = "batch"
    FLEX = "flex"
    PRIORITY = "priority"


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
    """What one request used, by unit. None means that nobody reported it; it is never taken for 0.

    New units are added at the end, with the default None: journals written before are then still read.
    """

    input_uncached: int | None = None
    input_cached: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    output: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    image: int | None = None
    second: int | None = None
    character: int | None = None

    def __post_init__(self) -> None:
        for count in astuple(self):
            if count is not None and not 0 <= count <= COUNT_MAX:
                raise ImpossibleUsage(f"A count of {count} is not from 0 to {COUNT_MAX}: {self.units()}")

    @property
    def known(self) -> bool:
        """Whether anything at all was reported, be it 0."""
        return self != NOTHING

    def units(self) -> dict[str, int]:
        """The reported counts by name of their unit, in the order of the fields; without "request"."""
        return {unit: count for unit, count in zip(_NAMES, astuple(self), strict=True) if count is not None}


NOTHING = Usage()
_NAMES = Usage.__struct_fields__


def sold_as(offering: str, service_tier: str) -> str:
    """The name under which an offering has its price: another tier than the standard one is a thing of its own.

    So usage of a tier that no price book knows is unrated, and never billed at the price of another.
    """
    return offering if service_tier == ServiceTier.STANDARD else f"{offering} ({service_tier})"


def billed(outcome: str, usage: Usage) -> bool:
    """Whether a request is billed: it ended at the client's side, and what it used is known."""
    return outcome in (Outcome.COMPLETED, Outcome.CLIENT_DISCONNECTED) and usage.known
