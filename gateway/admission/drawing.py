"""The short way of admission: a request far from every limit takes all that it may use from leases that are here.

Nearly all requests go this way, so nothing is looked up or built for one that could be kept from the one before, and
its arithmetic, that of `gateway.admission.leases`, is written out: a call for each lease would cost more than it does.
"""

import logging
import uuid

from gateway.admission import pricing
from gateway.admission.leases import Ask, Lease
from gateway.admission.ledger import Ledger
from gateway.admission.pricing import NoPrice, Pricing
from gateway.admission.terms import Draws, Terms
from metering.records import Closed

NOTHING_FITS = -1
LOOK_EVERY = 32  # A lease far from its limit is worth a thousand requests.

log = logging.getLogger(__name__)


class Drawing:
    """The leases that stand for a caller's quotas now, by what they count.

    They do until a window ends (`until_s`), and until the ledger changes any of its leases for another.
    """

    __slots__ = (
        "_by_one", "_changes", "_ledger", "_money", "_parallel", "_pricing", "_requests", "_tokens", "_tokens_max",
        "_until_s", "counts_money", "counts_tokens", "looks_in",
    )  # fmt: skip

    def __init__(self, ledger: Ledger, terms: Terms, now_s: float) -> None:
        leases = [ledger.lease(terms.tenant.id, quota, now_s) for quota in terms.quotas]
        self._ledger = ledger
        self._changes = ledger.changes
        self._pricing = terms.pricing
        self._until_s = min(lease.ends_s for lease in leases)
        self._requests = drawn_by(Draws.REQUESTS, leases)
        self._parallel = drawn_by(Draws.PARALLEL, leases)
        self._by_one = self._requests + self._parallel
        self._tokens = drawn_by(Draws.TOKENS, leases)
        self._money = drawn_by(Draws.MONEY, leases)
        self._tokens_max = tokens_at_once(leases)
        self.looks_in = LOOK_EVERY  # So many requests until it is looked what runs low.
        self.counts_tokens = bool(self._tokens)
        self.counts_money = bool(self._money)

    @classmethod
    def of(cls, ledger: Ledger, terms: Terms, now_s: float) -> "Drawing":
        """The one that was found for an earlier request of the caller, as long as it is good."""
        found = terms.drawing
        if (
            found is None
            or now_s >= found._until_s
            or found._changes != ledger.changes
            or found._ledger is not ledger  # Gateways of one process may share a snapshot.
        ):
            found = terms.drawing = cls(ledger, terms, now_s)
        return found

    def hold(self, tokens: int, money: int, now_s: float) -> "Held | None":
        """So much of every lease. None, and nothing is held, where one has less or a whole minute may not have it."""
        if not self._is_there(tokens, money):
            return None
        for lease in self._requests:  # Given back by nothing, so spent at once.
            lease.free -= 1
            lease.spent += 1
            lease.used_at_s = now_s
        for lease in self._parallel:
            lease.free -= 1
            lease.held += 1
            lease.used_at_s = now_s
        for lease in self._tokens:
            lease.free -= tokens
            lease.held += tokens
            lease.used_at_s = now_s
        for lease in self._money:
            lease.free -= money
            lease.held += money
            lease.used_at_s = now_s
        self.looks_in -= 1
        return Held(self._parallel, self._tokens, tokens, self._money, money, self._pricing)

    def running_low(self, tokens: int, money: int) -> list[Ask]:
        """What to ask for ahead, a request's worth of each lease that is half used: the counter then gives many."""
        self.looks_in = LOOK_EVERY
        drawn = ((self._by_one, 1), (self._tokens, tokens), (self._money, money))
        return [Ask(lease, need=need) for leases, need in drawn for lease in leases if need and lease.free < lease.low]

    def _is_there(self, tokens: int, money: int) -> bool:
        if tokens > self._tokens_max:
            return False
        for lease in self._by_one:
            if lease.free < 1:
                return False
        for lease in self._tokens:
            if lease.free < tokens:
                return False
        for lease in self._money:  # noqa: SIM110  # a generator costs more than the loop
            if lease.free < money:
                return False
        return True


class Held:
    """What one request took by the short way. Each part is given back once: when it is settled, or at the end."""

    __slots__ = ("_in_money", "_in_tokens", "_money", "_parallel", "_pricing", "_tokens")

    def __init__(
        self,
        parallel: tuple[Lease, ...],
        in_tokens: tuple[Lease, ...],
        tokens: int,
        in_money: tuple[Lease, ...],
        money: int,
        pricing: Pricing | None,
    ) -> None:
        self._pricing = pricing
        self._parallel = parallel
        self._in_tokens = in_tokens
        self._tokens = tokens
        self._in_money = in_money
        self._money = money

    def settle(self, closed: Closed) -> None:
        """Spend what a billed ending used, and give back the rest of what was held for it.

        Called with its record written, and before anything else can happen.
        """
        if not closed.billed:
            return
        if self._in_tokens:
            used = pricing.tokens(closed.usage)
            leases, self._in_tokens = self._in_tokens, ()
            spend(leases, used, self._tokens, closed)
        if self._in_money and self._pricing is not None:
            try:
                used = self._pricing.cost(closed)
            except NoPrice as problem:
                say_uncounted(closed, problem)
                return
            leases, self._in_money = self._in_money, ()
            spend(leases, used, self._money, closed)

    def release(self) -> None:
        """Give back what is left, however the request ended. Doing it twice does no harm."""
        for lease in self._parallel:
            lease.held -= 1
            lease.free += 1
        for lease in self._in_tokens:
            lease.release(self._tokens)
        for lease in self._in_money:
            lease.release(self._money)
        self._parallel = self._in_tokens = self._in_money = ()


def drawn_by(draws: Draws, leases: list[Lease]) -> tuple[Lease, ...]:
    return tuple(lease for lease in leases if lease.quota.draws is draws)


def tokens_at_once(leases: list[Lease]) -> int:
    """How many tokens one request may hold of whole minutes' limits."""
    most = 2**63
    for quota in (lease.quota for lease in leases if lease.quota.window == "minute"):
        if quota.draws is Draws.TOKENS:
            most = min(most, quota.limit)
        elif quota.limit < 1:
            return NOTHING_FITS
    return most


def spend(leases: tuple[Lease, ...], used: int, held: int, closed: Closed) -> None:
    """Charge each lease with what was used, and release what else was held of it."""
    if used > held > 0:
        say_overdrawn(closed, leases[0], used, held)
    for lease in leases:
        lease.held -= held
        lease.free += held - used
        lease.spent += used


def say_overdrawn(closed: Closed, lease: Lease, used: int, held: int) -> None:
    event_id = uuid.UUID(bytes=closed.opened.event_id)
    log.warning("Event %s used %d of %s and held %d.", event_id, used, lease.key, held)


def say_uncounted(closed: Closed, problem: NoPrice) -> None:
    log.error("A budget does not count event %s: %s", uuid.UUID(bytes=closed.opened.event_id), problem)
