"""What one gateway process has counted since it started: requests, tokens, times and refusals. Integers only.

Everything is counted once a request, when its ending is written to the journal, and nothing for a streamed event.
"""

from bisect import bisect_left
from collections import defaultdict
from typing import Any

import msgspec

from metering.journal import Journal
from metering.records import Closed
from metering.usage import REPORTED_UNITS

BOUNDS_US = tuple(
    round(each * 1_000_000) for each in (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
)  # Of histograms, each bound included. From a cached short answer to what TOKENWORKS_FIRST_BYTE_TIMEOUT_S allows.
OFFERINGS_MAX = 200  # What is sold beyond is counted together: every offering is about fifty lines of the page.
OUTCOMES_MAX = 250  # Of one offering, by deployment and outcome: some fifty deployments.
OTHERS = "others"


class Histogram:
    """Times by bound, and their sum."""

    __slots__ = ("counts", "sum_us")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_US) + 1)
        self.sum_us = 0

    def add(self, us: int) -> None:
        """A clock that was set back gives no time less than none."""
        if us < 0:
            us = 0
        self.counts[bisect_left(BOUNDS_US, us)] += 1
        self.sum_us += us


class OfferingCounts:
    """Of one offering."""

    __slots__ = ("duration", "first_byte", "outcomes", "tokens")

    def __init__(self) -> None:
        self.outcomes: defaultdict[tuple[str, str], int] = defaultdict(int)  # By deployment and outcome.
        self.tokens = [0] * len(REPORTED_UNITS)  # In the order of REPORTED_UNITS, which is Usage's.
        self.first_byte = Histogram()
        self.duration = Histogram()


class Counts:
    """Of one gateway process."""

    def __init__(self) -> None:
        self.offerings: dict[str, OfferingCounts] = {}
        self.refusals: defaultdict[str, int] = defaultdict(int)  # By code; each is a class of ours.

    def closed(self, closed: Closed) -> None:
        """An attempt ended so."""
        opened = closed.opened
        counts = self.offerings.get(opened.offering) or self._begun(opened.offering)
        outcomes = counts.outcomes
        ending = (opened.deployment, closed.outcome)
        if ending not in outcomes and len(outcomes) >= OUTCOMES_MAX:
            ending = (OTHERS, closed.outcome)
        outcomes[ending] += 1
        counts.duration.add(closed.closed_at_us - opened.opened_at_us)
        if closed.first_byte_at_us is not None:
            counts.first_byte.add(closed.first_byte_at_us - opened.opened_at_us)
        for at, tokens in enumerate(msgspec.structs.astuple(closed.usage)):
            if tokens:
                counts.tokens[at] += tokens

    def refused(self, code: str | None) -> None:
        """A caller got an error of ours for an answer."""
        self.refusals[code or "bad_request"] += 1

    def _begun(self, offering: str) -> OfferingCounts:
        name = offering if len(self.offerings) < OFFERINGS_MAX else OTHERS
        return self.offerings.setdefault(name, OfferingCounts())


class CountedJournal(Journal):
    """Counts each ending that was recorded, so that these numbers and the books come from the same records."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.counts = Counts()

    def append_closed(self, closed: Closed) -> None:
        super().append_closed(closed)
        self.counts.closed(closed)
