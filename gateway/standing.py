"""What one gateway process knows of one worker: what it has to do, whether it answers, whether it fails. Pure."""

import hashlib
from typing import NamedTuple

from gateway.breaker import Breaker

PROBES_FAILED_MAX = 2  # So many in a row and a worker counts as ill.


class EngineLoad(NamedTuple):
    """Requests at an engine, of all gateways together, as it reports them."""

    running: int
    waiting: int


class Standing:
    """One worker as this process sees it.

    The engine's report is right and some seconds old; our own count is fresh and knows nothing of other gateways. So
    the report is corrected by what changed in our own count since.
    """

    __slots__ = ("_own_when_reported", "_probes_failed", "_reported", "base_url", "breaker", "open", "seed")

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.seed = int.from_bytes(hashlib.blake2b(base_url.encode(), digest_size=8).digest(), "little")
        self.breaker = Breaker()
        self.open = 0  # Our own requests there that are not settled yet.
        self._probes_failed = 0  # In a row.
        self._reported: EngineLoad | None = None
        self._own_when_reported = 0

    @property
    def load(self) -> int:
        """Requests that it works on or that wait there, as far as we can know."""
        if self._reported is None:
            return self.open
        return max(self.open, sum(self._reported) + self.open - self._own_when_reported)

    def queue(self, requests_running_max: int | None) -> int:
        """Requests that wait there. Where nobody said how many it runs at once, only what it reports shows a queue."""
        if requests_running_max is not None:
            return max(0, self.load - requests_running_max)
        if self._reported is None or self._reported.waiting == 0:
            return 0
        return max(0, self._reported.waiting + self.open - self._own_when_reported)

    @property
    def ill(self) -> bool:
        """Probes in a row went unanswered."""
        return self._probes_failed >= PROBES_FAILED_MAX

    def is_welcoming(self, now: float) -> bool:
        """Whether requests should go there."""
        return not self.ill and self.breaker.allows(now)

    def is_hopeless(self, now: float) -> bool:
        """Neither requests nor probes succeed there: asking would only make the caller wait."""
        return self.ill and not self.breaker.allows(now)

    def probed(self, load: EngineLoad | None) -> None:
        """It answered a probe just now; `load` is None where it reports none."""
        self._probes_failed = 0
        self._reported = load
        self._own_when_reported = self.open

    def probe_failed(self) -> None:
        self._probes_failed += 1
        self._reported = None
