"""Reads an engine's own token counters from its page of metrics, and adds up what it counted. Pure.

An engine counts all tokens of its prompts, those from its cache included, and all that it generated, whatever became of
the request.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

COUNT_MAX = 2**63 - 1  # What a bigint column holds.
SECONDS_MAX = 10**11  # Since 1970; behind the year 5138.
PROCESS_START = "process_start_time_seconds"


class CountersUnreadable(ValueError):
    """The page has no token counters under a name that we know."""


class EngineCounters(NamedTuple):
    """The names under which an engine exposes its two counters."""

    engine: str
    prompt: str
    generation: str


# docs.vllm.ai/en/stable/usage/metrics (the names are the same before and after the V1 engine, which adds a label),
# docs.sglang.io/docs/references/production_metrics, TensorRT-LLM's examples/serve/prometheus_metrics.py,
# docs.nvidia.com/nim/large-language-models/latest/observability.html; all looked up in November 2026.
ENGINE_COUNTERS = (
    EngineCounters("vLLM", "vllm:prompt_tokens_total", "vllm:generation_tokens_total"),
    EngineCounters("SGLang", "sglang:prompt_tokens_total", "sglang:generation_tokens_total"),
    EngineCounters("TensorRT-LLM", "trtllm_prompt_tokens_total", "trtllm_generation_tokens_total"),
    EngineCounters("NIM", "prompt_tokens_total", "generation_tokens_total"),
)
# Where these engines have the page: the first is vLLM's and SGLang's, then TensorRT-LLM's, then NIM's.
PAGES = ("/metrics", "/prometheus/metrics", "/v1/metrics")


class Counters(NamedTuple):
    """What a page said: the sums over all labels, when the process began if it says so, and the engine's names."""

    prompt: int
    generation: int
    started_at: datetime | None
    engine: EngineCounters


def read_counters(page: str) -> Counters:
    """The counters of the first engine of ENGINE_COUNTERS that has both on the page. Raises CountersUnreadable."""
    for engine in ENGINE_COUNTERS:
        prompt, generation = _values(page, engine.prompt), _values(page, engine.generation)
        if prompt and generation:
            return Counters(_count(prompt, engine.prompt), _count(generation, engine.generation), _start(page), engine)
    known = ", ".join(engine.prompt for engine in ENGINE_COUNTERS)
    raise CountersUnreadable(f"None of {known} is on the page with its counterpart. Turn the engine's metrics on.")


def _values(page: str, name: str) -> list[str]:
    """The values of all lines of that name, as Prometheus' text format has them: `name{labels} value`, one a set."""
    return re.findall(rf"^{re.escape(name)}(?:\{{[^\n]*\}})?[ \t]+(\S+)(?:[ \t]+-?[0-9]+)?[ \t]*$", page, re.MULTILINE)


def _count(values: list[str], name: str) -> int:
    try:
        total = sum(Decimal(value) for value in values)
        if 0 <= total <= COUNT_MAX and total == int(total):
            return int(total)
    except ArithmeticError:
        pass  # Text, NaN, an infinity, or far too large: said below.
    raise CountersUnreadable(f"{name} is {' + '.join(values)[:100]}, which is no count of tokens.")


def _start(page: str) -> datetime | None:
    """When the process began; None where the page does not say, as vLLM's with several API servers does not."""
    try:
        (value,) = map(Decimal, _values(page, PROCESS_START))
        return datetime.fromtimestamp(int(value), UTC) if 0 < value < SECONDS_MAX else None
    except (ArithmeticError, ValueError):
        return None  # Not there, there twice, or no number.


@dataclass(frozen=True)
class Reading:
    """The counters of one engine as they stood at a time."""

    at: datetime
    prompt: int
    generation: int
    started_at: datetime | None = None

    def follows_a_restart_after(self, earlier: "Reading") -> bool:
        """A counter never goes down while its process lives."""
        if self.started_at and earlier.started_at and self.started_at != earlier.started_at:
            return True
        return self.prompt < earlier.prompt or self.generation < earlier.generation


@dataclass(frozen=True)
class Counted:
    """What engines counted within an hour, and what is not known of it.

    `gap` is time in which nobody read the counters. Without a restart no token is missing for it, but some may belong
    to the hour before; with one, what was counted between the last reading and the restart is lost.
    """

    prompt: int = 0
    generation: int = 0
    restarts: int = 0
    readings: int = 0
    gap: timedelta = timedelta()

    def __add__(self, other: "Counted") -> "Counted":
        return Counted(
            self.prompt + other.prompt,
            self.generation + other.generation,
            self.restarts + other.restarts,
            self.readings + other.readings,
            self.gap + other.gap,
        )


def counted(readings: Iterable[Reading], start: datetime, end: datetime, gap_min: timedelta) -> Counted:
    """What one engine counted in (start, end], from its readings in order of time with the last one up to `start`.

    A difference of two readings belongs where the later one stands, so that hours add up to the whole. After a
    restart counters begin at zero. Two readings further apart than `gap_min` have a gap between them, never a guess.
    """
    known = [reading for reading in readings if reading.at <= end]
    total = Counted(gap=_gaps([reading.at for reading in known], start, end, gap_min))
    for earlier, later in pairwise(known):
        if later.at > start:
            restarted = later.follows_a_restart_after(earlier)
            from_ = Reading(earlier.at, 0, 0) if restarted else earlier
            total += Counted(later.prompt - from_.prompt, later.generation - from_.generation, int(restarted))
    return total + Counted(readings=sum(reading.at > start for reading in known))


def _gaps(times: list[datetime], start: datetime, end: datetime, gap_min: timedelta) -> timedelta:
    """How much of [start, end] lies between readings that are further apart than `gap_min`, or beside all of them."""
    if not times:
        return end - start
    before = max(times[0] - start, timedelta())  # Nothing was read up to here, so the first difference is not known.
    after = end - times[-1]
    between = (min(later, end) - max(earlier, start) for earlier, later in pairwise(times) if later - earlier > gap_min)
    inside = sum((max(each, timedelta()) for each in between), timedelta())
    return min(before, end - start) + inside + (min(after, end - start) if after > gap_min else timedelta())


def drifts(engine: int, ours: int, tolerance_percent: int, floor_tokens: int) -> bool:
    """Whether the two counts are further apart than the tolerance, in percent of the larger one, and than the floor."""
    apart = abs(engine - ours)
    return apart > floor_tokens and apart * 100 > tolerance_percent * max(engine, ours)
