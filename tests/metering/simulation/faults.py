"""Which faults a seed has, how often, and what was injected."""

from collections import Counter
from collections.abc import Collection
from random import Random

# The most often that each may strike, as a share of the calls, statements or steps where it could.
AT_CALLS = {
    "killed before a disk call": 0.03,
    "killed after a disk call": 0.03,
    "killed within a write (torn)": 0.05,
    "a write fails": 0.03,
    "a sync fails": 0.02,
    "a truncation fails": 0.3,
    "killed before a statement": 0.02,
    "killed after a statement": 0.02,
    "connection ended before a statement": 0.015,
    "killed after a commit": 0.1,
    "commit done, its answer lost": 0.1,
}
AT_STEPS = {
    "gateway killed": 0.06,
    "shipper killed": 0.04,
    "worker killed": 0.03,
    "office killed": 0.04,
    "power cut": 0.06,
    "disk full": 0.04,
    "disk read-only": 0.03,
    "disk well again": 0.15,
    "clock jumps": 0.05,
    "second writer tried": 0.02,
    "message doubled": 0.04,
    "message lost": 0.03,
}
MOST = AT_CALLS | AT_STEPS
KILLS_AT_CALLS = [name for name in AT_CALLS if name.startswith("killed")]
ALWAYS = ("disk well again",)
SHARE_OF_FAULTS = 0.5  # A seed has about half of the kinds: what each hides of the others then shows (swarm testing).


# What only ever shows in the table: how often the disk then said no, and what some seeds do once.
CONSEQUENCES = ("call on a full disk", "call on a read-only disk", "Postgres restarted")


class Faults:
    def __init__(self, rng: Random, injected: Counter[str], favoured: Collection[str] = ()) -> None:
        self._rng = rng
        self.injected = injected
        self.kill_at: int | None = None  # Nothing but a kill, at this one of all places where one could strike.
        self.places = 0
        self.rates: dict[str, float] = {}
        for name, most in MOST.items():
            chosen, rate = rng.random() < SHARE_OF_FAULTS, most * rng.uniform(0.3, 1)
            self.rates[name] = rate if chosen or name in ALWAYS else 0.0
            if name in favoured:
                self.rates[name] = most

    def only_kill_at(self, place: int) -> None:
        self.stop()
        self.kill_at = place

    def strikes(self, name: str) -> bool:
        if self.kill_at is not None and name in KILLS_AT_CALLS:
            self.places += 1
            if self.places == self.kill_at:
                self.tell(name)
                return True
        rate = self.rates[name]
        if not rate or self._rng.random() >= rate:
            return False
        self.tell(name)
        return True

    def tell(self, name: str) -> None:
        self.injected[name] += 1

    def stop(self) -> None:
        self.rates = dict.fromkeys(self.rates, 0.0)
        self.kill_at = None
