"""Who is asked next: deployments by priority and weight, workers in turn, those that could not be reached last."""

from collections.abc import Callable, Iterator

from gateway.snapshot import Route, Sold
from providers.snapshot import Deployment

COOL_DOWN_S = 3.0
MEMORY_MAX = 10_000  # Names that turns are remembered for; beyond, all begin anew.


class Router:
    """Remembers whose turn it is and who could not be reached. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._turns: dict[str, int] = {}
        self._unreachable_until: dict[str, float] = {}

    def candidates(self, sold: Sold) -> Iterator[tuple[Deployment, str]]:
        """Deployments and workers in the order to try them; those that just failed come last, not never."""
        last = []
        for tier in sold.tiers:
            for route in self._by_weight(sold.offering.name, tier):
                for worker in self._in_turn(route):
                    if self._is_reachable(worker):
                        yield route.deployment, worker
                    else:
                        last.append((route.deployment, worker))
        yield from last

    def failed(self, worker: str) -> None:
        """This worker could not be reached."""
        if len(self._unreachable_until) >= MEMORY_MAX:
            self._unreachable_until.clear()
        self._unreachable_until[worker] = self._clock() + COOL_DOWN_S

    def _is_reachable(self, worker: str) -> bool:
        until = self._unreachable_until.get(worker)
        if until is None:
            return True
        if until > self._clock():
            return False
        del self._unreachable_until[worker]
        return True

    def _by_weight(self, name: str, tier: tuple[Route, ...]) -> tuple[Route, ...]:
        """Of every `sum of weights` turns each deployment has the first place in as many as it weighs."""
        if len(tier) == 1:
            return tier
        place = self._turn(name) % sum(route.deployment.weight for route in tier)
        first = 0
        while place >= tier[first].deployment.weight:
            place -= tier[first].deployment.weight
            first += 1
        return tier[first:] + tier[:first]

    def _in_turn(self, route: Route) -> tuple[str, ...]:
        workers = route.workers
        if len(workers) == 1:
            return workers
        first = self._turn(f"@{route.deployment.upstream}") % len(workers)
        return workers[first:] + workers[:first]

    def _turn(self, name: str) -> int:
        if len(self._turns) >= MEMORY_MAX:
            self._turns.clear()
        turn = self._turns.get(name, 0)
        self._turns[name] = turn + 1
        return turn
