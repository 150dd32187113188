"""Lets a request in, or says why not: reserve before it leaves, settle when it ends, release what is left.

Far from every limit a request takes from leases of this process and waits for nothing. Where a lease is cold or used
up, one round trip asks all counters at once, and takes from all or from none.
"""

import time
from dataclasses import dataclass

from gateway.admission import pricing
from gateway.admission.clamping import limited, output_tokens_max
from gateway.admission.counters import CountersUnreachable
from gateway.admission.drawing import Drawing, say_overdrawn, say_uncounted
from gateway.admission.leases import Ask, Hold, Lease
from gateway.admission.ledger import Ledger
from gateway.admission.pricing import Bound, NoPrice
from gateway.admission.refusals import CountersAway, LimitsUnpriced, refusal
from gateway.admission.terms import Draws, Terms
from gateway.admission.upkeep import Upkeep
from gateway.asgi import Request
from gateway.errors import UnknownModel
from gateway.snapshot import Sold
from metering.records import Closed
from providers.dialects.dialect import Call

ONE = Bound(1, 0)
CLAMPED = b"x-tokenworks-max-tokens"  # How long the answer may be, where that is less than what was asked for.


@dataclass(slots=True)
class Want:
    """What a request wants of a lease: `need`, and at least `floor`; `full` is what it can draw at most."""

    lease: Lease
    bound: Bound
    floor: int
    need: int
    full: int


class Admitted:
    """What a request that was let in holds."""

    __slots__ = ("_hold", "_terms")

    def __init__(self, terms: Terms, hold: Hold) -> None:
        self._terms = terms
        self._hold = hold

    def settle(self, closed: Closed) -> None:
        """Spend what a billed ending used. Called with its record written, and before anything else can happen."""
        if not closed.billed or not self._hold.parts:
            return
        used: dict[Draws, int] = {}  # Of each kind once, however many quotas count it.
        amounts = []
        for lease, held in self._hold.parts:
            draws = lease.quota.draws
            amount = used.get(draws)
            if amount is None:
                amount = used[draws] = self._used(draws, closed)
            if amount > held > 0:
                say_overdrawn(closed, lease, amount, held)
            amounts.append(amount)
        self._hold.charge(amounts)

    def release(self) -> None:
        """Give back what is left, however the request ended. Doing it twice does no harm."""
        self._hold.release()

    def _used(self, draws: Draws, closed: Closed) -> int:
        if draws is Draws.TOKENS:
            return pricing.tokens(closed.usage)
        if draws is Draws.MONEY and self._terms.pricing is not None:
            try:
                return self._terms.pricing.cost(closed)
            except NoPrice as problem:
                say_uncounted(closed, problem)
        return 0


class Admission:
    """Admission of one gateway process."""

    def __init__(self, upkeep: Upkeep) -> None:
        self._upkeep = upkeep

    @property
    def ledger(self) -> Ledger:
        return self._upkeep.ledger

    def admit_at_once(self, terms: Terms, request: Request, sold: Sold, call: Call) -> Call | None:
        """As `admit`, for a request that needs nothing but what is here. None where it may need more."""
        if not terms.allows(call.model):
            raise UnknownModel(
                f"The model {call.model[:200]!r} does not exist or you do not have access to it.", "model"
            )
        if not terms.quotas:
            return call
        if self._upkeep.away:
            return None
        now_s = time.time()
        drawing = Drawing.of(self._upkeep.ledger, terms, now_s)
        tokens = money = 0
        is_limited = drawing.counts_tokens
        if is_limited or drawing.counts_money:
            output_max = output_tokens_max(call, sold.offering.output_tokens_max)
            input_max = pricing.input_tokens_max(call, sold.offering.context_tokens_max)
            answers = call.prompts * call.answers
            tokens = input_max + answers * output_max
            if drawing.counts_money:
                bound = self._money(terms, request, sold, input_max, answers)
                money = bound.fixed + bound.each * output_max
                is_limited = is_limited or bound.each > 0
        request.admitted = drawing.hold(tokens if drawing.counts_tokens else 0, money, now_s)
        if request.admitted is None:
            return None
        if drawing.looks_in <= 0:
            self._upkeep.bring_more(terms.tenant.id, drawing.running_low(tokens, money))
        return limited(call, output_max) if is_limited else call

    async def admit(self, terms: Terms, request: Request, sold: Sold, call: Call) -> Call:
        """Hold what the call may use, and give the call back with answers no longer than that. Raises a Refusal.

        Called where `admit_at_once` gave None: some of it has to be asked for.
        """
        output_max = output_tokens_max(call, sold.offering.output_tokens_max)
        bounds = self._bounds(terms, request, sold, call)
        wants = self._wants(terms, bounds, output_max)
        parts = await self._hold(terms, wants)
        hold = Hold([(want.lease, part) for want, part in zip(wants, parts, strict=True)])
        request.admitted = Admitted(terms, hold)
        cut = [want.bound.affords(part) for want, part in zip(wants, parts, strict=True) if part < want.full]
        tokens = min([output_max, *cut])
        if tokens < output_max:
            hold.shrink([want.bound.of(tokens) for want in wants])
            request.said.append((CLAMPED, b"%d" % tokens))
        hold.charge([int(want.lease.quota.draws is Draws.REQUESTS) for want in wants])
        return limited(call, tokens) if any(bound.each for bound in bounds.values()) else call

    def _bounds(self, terms: Terms, request: Request, sold: Sold, call: Call) -> dict[Draws, Bound]:
        """The most that a request can draw, of all that the caller's quotas count."""
        input_max = pricing.input_tokens_max(call, sold.offering.context_tokens_max)
        answers = call.prompts * call.answers
        bounds: dict[Draws, Bound] = {}
        for draws in terms.drawn:
            if draws is Draws.TOKENS:
                bounds[draws] = pricing.tokens_bound(input_max, answers)
            elif draws is Draws.MONEY:
                bounds[draws] = self._money(terms, request, sold, input_max, answers)
            else:
                bounds[draws] = ONE
        return bounds

    def _wants(self, terms: Terms, bounds: dict[Draws, Bound], output_max: int) -> list[Want]:
        now_s = time.time()
        wants = []
        for quota in terms.quotas:
            lease = self.ledger.lease(terms.tenant.id, quota, now_s)
            bound = bounds[quota.draws]
            full = need = bound.of(output_max)
            floor = min(full, bound.of(1))
            if quota.window == "minute":  # Rather refused for a minute than cut short; only its own size shortens it.
                need = floor = max(floor, min(full, quota.limit))
            wants.append(Want(lease, bound, floor, need, full))
        return wants

    def _money(self, terms: Terms, request: Request, sold: Sold, input_max: int, answers: int) -> Bound:
        if terms.pricing is None:
            raise LimitsUnpriced
        try:
            return terms.pricing.at(request.started_at_us, sold.offering.name).bound(input_max, answers)
        except NoPrice:
            raise LimitsUnpriced from None

    async def _hold(self, terms: Terms, wants: list[Want]) -> list[int]:
        """Take from the counters what is not here; from all or from none."""
        async with self._upkeep.lock(terms.tenant.id):
            if not self._upkeep.away:
                parts = held_locally(wants)  # Whoever was before us here may have brought enough.
                if parts is not None:
                    return parts
                try:
                    return await self._take(wants)
                except CountersUnreachable:
                    pass
        return held_without_counters(terms, wants)

    async def _take(self, wants: list[Want]) -> list[int]:
        own = [want.lease.hold_up_to(want.need) for want in wants]
        taken = False
        try:
            asks = [
                Ask(want.lease, part, max(0, want.floor - part), want.need - part)
                for want, part in zip(wants, own, strict=True)
            ]
            reply = await self._upkeep.take(asks)
            if reply.outcome != "taken":
                raise refusal(reply.outcome, wants[reply.at].lease, time.time())
            taken = True
        finally:
            if not taken:
                for want, part in zip(wants, own, strict=True):
                    want.lease.release(part)
        parts = []
        for ask, grant in zip(asks, reply.grants, strict=True):
            ask.lease.filled(grant, ask.need)
            parts.append(ask.own + ask.lease.hold_up_to(ask.need))
        return parts


def held_locally(wants: list[Want]) -> list[int] | None:
    """All that is wanted from what this process has leased; None, and nothing held, where some of it is not there."""
    if any(want.lease.free < want.need for want in wants):
        return None
    for want in wants:
        want.lease.hold(want.need)
    return [want.need for want in wants]


def held_without_counters(terms: Terms, wants: list[Want]) -> list[int]:
    """What the tenant's policy allows while the counters are away. Raises a Refusal.

    Budgets go on within what is leased. Limits of a minute and of parallel requests are kept by this process alone.
    """
    if not terms.tenant.goes_on and any(want.lease.quota.hard for want in wants):
        raise CountersAway
    for want in wants:
        lease = want.lease
        if not lease.quota.hard:
            lease.granted(max(0, want.need - lease.free))
        elif not lease.quota.is_budget:
            lease.granted(max(0, lease.quota.limit - lease.spent - lease.held - lease.free))
    for want in wants:
        if want.lease.free < want.need:
            if want.lease.quota.is_budget:
                raise CountersAway
            raise refusal("held", want.lease, time.time())
    parts = held_locally(wants)
    if parts is None:
        raise CountersAway
    return parts
