"""What a month costs as a whole: its rated usage, and what the terms in force add and take off. Pure.

docs/pricing.md states the order. Each stretch of the month under the same terms is reckoned alone. What follows usage
is reckoned from amounts as they are printed: so anybody can check it on the invoice, and bounds hold to the last cent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from billing.charges import Charge, LineKind, summed
from billing.periods import Month
from billing.terms import (
    Coupon,
    Included,
    Run,
    Span,
    Stretch,
    Terms,
    share,
    share_of_quantity,
    stretches,
    term_at,
)
from metering.usage import ServiceTier
from money.amount import Money, rounded_quotient

TRIAL = "trial"
SPENT_KINDS = frozenset(LineKind) - {LineKind.FEE, LineKind.COMMITMENT, LineKind.GRANT, LineKind.CREDIT}
"""What counts towards a commitment: usage, less what was taken off it, and what the minimum added."""


def statement(
    of: Month,
    currency: str,
    usage: Iterable[Charge],
    runs: Sequence[Run],
    coupons: Sequence[Coupon] = (),
    spent_before: Mapping[datetime, Money] | None = None,
) -> list[Charge]:
    """All charges of a month, usage first. Each charge of usage lies within one stretch.

    Coupons are used in their order. `spent_before` says, by the start of a run, what was spent under it in earlier
    months of the commitment that `of` belongs to.
    """
    by_stretch: dict[Span, list[Charge]] = {}
    parts = stretches(of, runs)
    for charge in usage:
        part = next(part for part in parts if part.span.start <= charge.first_start < part.span.end)
        by_stretch.setdefault(part.span, []).append(charge)
    left = {coupon: coupon.amount for coupon in coupons if coupon.holds_in(of.first_day)}
    found: list[Charge] = []
    for part in parts:
        reckoning = Reckoning(part, currency, list(summed(by_stretch.get(part.span, ())).values()))
        reckoning.reckon(left, (spent_before or {}).get(part.run.span.start, Money.zero(currency)))
        found += reckoning.charges
    return found


@dataclass
class Reckoning:
    """The charges of one stretch, growing step by step."""

    stretch: Stretch
    currency: str
    charges: list[Charge] = field(default_factory=list)

    @property
    def printed(self) -> Money:
        return sum((charge.printed for charge in self.charges), Money.zero(self.currency))

    def reckon(self, coupons: dict[Coupon, Money], spent_before: Money) -> None:
        """Usage is here already; add the rest in its order. `coupons` is what is left of each in this month."""
        terms = self.stretch.run.terms
        if self.stretch.run.is_trial:
            self._add(LineKind.DISCOUNT, -self.printed, TRIAL)
            return
        if terms:
            self._take_included(terms)
            discount = _percent_of(self._to_pay, terms.discount_percent)
            self._add(LineKind.DISCOUNT, -discount, _text(terms.discount_percent))
        self._use(coupons)
        if terms:
            self._ask_minimum(terms)
            self._ask_commitment(terms, spent_before)
            self._ask_at_most(terms)
            self._ask_fee(terms)

    def _take_included(self, terms: Terms) -> None:
        self.charges += _freed(self.stretch, terms.included, self.charges)
        amount = share(terms.included_amount, self.stretch.span, self._month)
        self._add(LineKind.INCLUDED, -min(amount, self._to_pay))

    def _use(self, coupons: dict[Coupon, Money]) -> None:
        for coupon, left in coupons.items():
            base = self._to_pay
            if coupon.percent:
                self._add(LineKind.COUPON, -_percent_of(base, coupon.percent), coupon.name)
            else:
                coupons[coupon] = left - min(left, base)
                self._add(LineKind.COUPON, -min(left, base), coupon.name)

    def _ask_minimum(self, terms: Terms) -> None:
        minimum = share(terms.minimum, self.stretch.span, self._month)
        if minimum:
            self._add(LineKind.MINIMUM, max(minimum - self.printed, self._nothing))

    def _ask_commitment(self, terms: Terms, spent_before: Money) -> None:
        """What lacks is asked for once, where the commitment's term or its run ends."""
        term = commitment_term(self.stretch)
        if term and (term.end == self._month.end or self.stretch.run.ends_in(self.stretch.month)):
            due = share(terms.commitment, _part(self.stretch.run, term), term)
            self._add(LineKind.COMMITMENT, max(due - spent_before - self.printed, self._nothing), span=term)

    def _ask_at_most(self, terms: Terms) -> None:
        if terms.maximum is not None:
            maximum = share(terms.maximum, self.stretch.span, self._month)
            self._add(LineKind.MAXIMUM, min(maximum - self.printed, self._nothing))

    def _ask_fee(self, terms: Terms) -> None:
        """A fee is asked for as its months begin. Where its run ends before they do, the rest is given back."""
        paid_for = term_at(self.stretch.run, terms.fee_months, self.stretch.month)
        part = _part(self.stretch.run, paid_for)
        is_over = self.stretch.run.ends_in(self.stretch.month)
        if part.start >= self._month.start:
            used = part if is_over else Span(part.start, paid_for.end)
            self._add(LineKind.FEE, share(terms.fee, used, paid_for), terms.name, used)
        elif is_over and part.end < paid_for.end:
            unused = Span(part.end, paid_for.end)
            self._add(LineKind.FEE, -share(terms.fee, unused, paid_for), terms.name, unused)

    @property
    def _to_pay(self) -> Money:
        """What something can be taken off. Usage that is taken back may leave a cent less than nothing."""
        return max(self.printed, self._nothing)

    @property
    def _month(self) -> Span:
        return Span(self.stretch.month.start, self.stretch.month.end)

    @property
    def _nothing(self) -> Money:
        return Money.zero(self.currency)

    def _add(self, kind: LineKind, exact: Money, detail: str = "", span: Span | None = None) -> None:
        if exact:
            of, served = self.stretch.month.first_day, span or self.stretch.span
            tier = ServiceTier.STANDARD
            quantity = 1 if exact > self._nothing else -1
            self.charges.append(
                Charge(kind, of, None, "", "", tier, "", quantity, None, exact, served.start, served.end, detail)
            )


def commitment_term(stretch: Stretch) -> Span | None:
    """The months that the commitment of a stretch's terms is for; None where there is none."""
    terms = stretch.run.terms
    if terms is None or stretch.run.is_trial or not terms.commitment:
        return None
    return term_at(stretch.run, terms.commitment_months, stretch.month)


def _part(run: Run, term: Span) -> Span:
    """The part of a term that is under its run, which has begun before the term ends."""
    return Span(max(run.span.start, term.start), min(run.span.end, term.end))


def _freed(stretch: Stretch, allowances: Sequence[Included], usage: Sequence[Charge]) -> list[Charge]:
    """What allowances take off usage, the dearest units first.

    Each is taken off one charge of usage and stays beside it: so it is never printed as more than that.
    """
    found: list[Charge] = []
    freed = [0] * len(usage)
    whole = Span(stretch.month.start, stretch.month.end)
    for allowance in allowances:
        meant = [n for n, charge in enumerate(usage) if allowance.is_for(charge.offering, charge.unit)]
        to_pay = sum(usage[n].quantity - freed[n] for n in meant)
        left = min(to_pay, share_of_quantity(allowance.quantity, stretch.span, whole))
        for n in sorted(meant, key=lambda n: _unit_cost(usage[n]), reverse=True):
            taken = min(left, usage[n].quantity - freed[n])
            if taken > 0:
                left -= taken
                freed[n] += taken
                found.append(_without(usage[n], taken, stretch.span))
    return [charge for charge in summed(found).values() if charge.exact]


def _unit_cost(charge: Charge) -> Fraction:
    return Fraction(charge.exact.pico, charge.quantity) if charge.quantity else Fraction(0)


def _without(charge: Charge, taken: int, span: Span) -> Charge:
    exact = Money(rounded_quotient(charge.exact.pico * taken, charge.quantity), charge.exact.currency)
    return replace(
        charge, kind=LineKind.INCLUDED, quantity=-taken, exact=-exact, first_start=span.start, last_end=span.end
    )


def _percent_of(base: Money, percent: Decimal) -> Money:
    """So much of an amount, as can be paid. A percentage has two decimals at most."""
    return Money(rounded_quotient(base.pico * int(percent * 100), 10_000), base.currency).rounded()


def _text(percent: Decimal) -> str:
    return f"{percent.normalize():f}"
