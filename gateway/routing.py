"""Who is asked next: by priority, cost and weight of the deployments, by load and affinity of their workers. Pure.

It knows no socket: the clock is passed in, `gateway.forwarding` says how requests end and `gateway.health` what probes
find. A request to a model with one sound worker costs one look-up here.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

from gateway.affinity import in_order
from gateway.breaker import State
from gateway.snapshot import Route, Sold
from gateway.standing import Standing
from metering.usage import Outcome
from providers.snapshot import Deployment

MEMORY_MAX = 10_000  # Names and workers that are remembered; beyond, what is not in use begins anew.

Choice = tuple[Deployment, Standing]
KeyOf = Callable[[int], int | None]  # The affinity of a request, for a number of bytes of its prompt's beginning.


class Router:
    """What this process knows of all workers, and whose turn it is. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._turns: dict[str, int] = {}
        self._standings: dict[str, Standing] = {}

    def standing(self, base_url: str) -> Standing:
        """What is known of a worker, for good or bad."""
        found = self._standings.get(base_url)
        if found is None:
            if len(self._standings) >= MEMORY_MAX:
                self.keep(())
            found = self._standings[base_url] = Standing(base_url)
        return found

    def standings(self) -> list[Standing]:
        """Of all workers that are remembered."""
        return list(self._standings.values())

    def keep(self, base_urls: Collection[str]) -> None:
        """Forget all workers but these, and but those that have something open."""
        self._standings = {url: each for url, each in self._standings.items() if url in base_urls or each.open}

    def candidates(self, sold: Sold, key_of: KeyOf | None = None) -> Iterator[Choice]:
        """Deployments and workers in the order to try them.

        Behind all others come deployments whose queue is too long, and at the very end workers that failed: where
        there is nobody else, an upstream that fails some requests is better than a gateway that refuses all. Left out
        are only those at which neither requests nor probes succeed.
        """
        if sold.only is not None:
            deployment, worker = sold.only
            standing = self.standing(worker.base_url)
            if standing.breaker.state is State.CLOSED or not standing.is_hopeless(self._clock()):
                yield deployment, standing
            return
        now = self._clock()
        overflowing: list[Choice] = []
        failing: list[Choice] = []
        for tier in sold.tiers:
            for route in self._by_weight(sold.offering.name, tier):
                overflows = self._overflows(route)
                welcoming = []
                for worker in route.workers:
                    standing = self.standing(worker.base_url)
                    if standing.is_welcoming(now):
                        welcoming.append(standing)
                    elif not standing.is_hopeless(now):
                        failing.append((route.deployment, standing))
                for standing in self._in_order(route.deployment, welcoming, key_of):
                    if overflows:
                        overflowing.append((route.deployment, standing))
                    else:
                        yield route.deployment, standing
        yield from overflowing
        yield from failing

    def begin(self, standing: Standing) -> int:
        """A request goes to this worker; `ended` is told what this gives."""
        standing.open += 1
        return standing.breaker.begin(self._clock())

    def ended(self, standing: Standing, phase: int, outcome: Outcome | None, upstream_status: int | None) -> None:
        """How the request ended; None where nothing was sent."""
        standing.open -= 1
        if outcome is Outcome.COMPLETED:
            standing.breaker.succeeded(phase)
        elif outcome is Outcome.UPSTREAM_FAILED:
            standing.breaker.failed(phase, self._clock())
        elif outcome in (None, Outcome.INTERRUPTED) or upstream_status in (None, 429):
            standing.breaker.dropped(phase, self._clock())
        else:
            standing.breaker.succeeded(phase)

    def unreachable(self, standing: Standing, phase: int) -> None:
        """No connection can be made: nobody is there. The request is still to be ended."""
        standing.breaker.failed(phase, self._clock(), certain=True)

    def recovered(self, standing: Standing) -> None:
        """It answers probes again."""
        standing.breaker.expect_recovery(self._clock())

    def _overflows(self, route: Route) -> bool:
        queue_max = route.deployment.overflow_queue_max
        if queue_max is None:
            return False
        workers = route.workers
        return sum(self.standing(each.base_url).queue(each.requests_running_max) for each in workers) > queue_max

    def _by_weight(self, name: str, tier: tuple[Route, ...]) -> Sequence[Route]:
        """The deployment with the least to do for its weight first.

        Where they are equal, as when all are idle, each has the first place in as many of every `sum of weights` turns
        as it weighs.
        """
        if len(tier) == 1:
            return tier
        place = self._turn(name) % sum(route.deployment.weight for route in tier)
        first = 0
        while place >= tier[first].deployment.weight:
            place -= tier[first].deployment.weight
            first += 1
        return sorted(tier[first:] + tier[:first], key=lambda route: self._load(route) / route.deployment.weight)

    def _load(self, route: Route) -> int:
        return sum(self.standing(worker.base_url).load for worker in route.workers)

    def _in_order(self, deployment: Deployment, workers: list[Standing], key_of: KeyOf | None) -> list[Standing]:
        """By affinity where the request has one, else the least loaded first, and in turn where loads are equal."""
        if len(workers) < 2:
            return workers
        key = None if key_of is None else key_of(deployment.prefix_bytes)
        if key is not None:
            return in_order(key, workers)
        first = self._turn(f"@{deployment.upstream}") % len(workers)
        return sorted(workers[first:] + workers[:first], key=lambda worker: worker.load)

    def _turn(self, name: str) -> int:
        if len(self._turns) >= MEMORY_MAX:
            self._turns.clear()
        turn = self._turns.get(name, 0)
        self._turns[name] = turn + 1
        return turn
