"""What one gateway process has taken from a counter, and what is left of it. Pure arithmetic.

    taken from the counter = spent + held + free

A hold moves from free to held, a charge from held to spent, a release from held to free: none of them changes the
sum, so none of them needs the counter. Only taking more and giving back do.
"""

from math import inf
from typing import NamedTuple

from billing.windows import Window
from gateway.admission.terms import Quota


class Lease:
    """A process's part of one counter. Its quota may be replaced by a newer one of the same name."""

    __slots__ = (
        "ends_s",
        "free",
        "held",
        "is_tight",
        "key",
        "low",
        "quota",
        "reported",
        "spent",
        "told_at_s",
        "used_at_s",
        "window",
    )

    def __init__(self, key: str, quota: Quota, window: Window, spent: int, now_s: float) -> None:
        self.key = key
        self.quota = quota
        self.window = window
        self.ends_s = inf if window.end_s is None else window.end_s
        self.spent = spent
        self.held = 0
        self.free = 0  # Below zero where more was used than was held; then more is taken next time.
        self.is_tight = False  # The counter gave no more than was asked for: others may be waiting for what is free.
        self.low = 0  # With less than this free, more is asked for before anybody has to wait for it.
        self.used_at_s = self.told_at_s = now_s
        self.reported: tuple[int, int] | None = (spent, 0)  # What the counter knows: spent and leased; None: unsure.

    @property
    def leased(self) -> int:
        """What the counter must keep for us besides what is spent."""
        return max(0, self.held + self.free)

    @property
    def is_reported(self) -> bool:
        return self.reported == (self.spent, self.leased)

    def is_over(self, now_s: float) -> bool:
        return now_s >= self.ends_s

    def hold(self, amount: int) -> bool:
        """Hold so much of what is free, or nothing."""
        if self.free < amount:
            return False
        self.free -= amount
        self.held += amount
        return True

    def hold_up_to(self, amount: int) -> int:
        """Hold as much of it as is free; returns how much."""
        part = max(0, min(self.free, amount))
        self.free -= part
        self.held += part
        return part

    def charge(self, amount: int, held: int) -> int:
        """Spend `amount`, of which `held` was held; returns how much of the hold is left."""
        covered = min(amount, held)
        self.held -= covered
        self.free -= amount - covered
        self.spent += amount
        return held - covered

    def release(self, held: int) -> None:
        self.held -= held
        self.free += held

    def give_back(self) -> None:
        """Keep nothing free. The counter must be told."""
        self.free = min(self.free, 0)

    def granted(self, amount: int) -> None:
        self.free += amount

    def filled(self, grant: int, need: int) -> None:
        """The counter gave `grant` where `need` was wanted. Only near its limit it gives no more than that."""
        self.free += grant
        if need:
            self.is_tight = grant <= need
            self.low = 0 if self.is_tight else grant // 2


class Ask(NamedTuple):
    """What is wanted of a counter: `need`, at least `floor`, besides `own`, which is held of it already."""

    lease: Lease
    own: int = 0
    floor: int = 0
    need: int = 0


class Hold:
    """What one request holds of its leases: taken when it was admitted, settled once, given back when it ends."""

    __slots__ = ("_parts",)

    def __init__(self, parts: list[tuple[Lease, int]]) -> None:
        self._parts = parts

    @property
    def parts(self) -> list[tuple[Lease, int]]:
        return self._parts

    def charge(self, amounts: list[int]) -> None:
        """Spend so much of each lease, in the order in which they were held."""
        self._parts = [
            (lease, lease.charge(amount, held)) if amount else (lease, held)
            for (lease, held), amount in zip(self._parts, amounts, strict=True)
        ]

    def shrink(self, amounts: list[int]) -> None:
        """Hold no more than this of each lease."""
        kept = [min(held, amount) for (_, held), amount in zip(self._parts, amounts, strict=True)]
        for (lease, held), amount in zip(self._parts, kept, strict=True):
            lease.release(held - amount)
        self._parts = [(lease, amount) for (lease, _), amount in zip(self._parts, kept, strict=True)]

    def release(self) -> None:
        """Give back what is still held. Doing it twice gives nothing twice."""
        for lease, held in self._parts:
            if held:
                lease.release(held)
        self._parts = []
