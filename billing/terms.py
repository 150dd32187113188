"""What a plan asks and gives beside its prices, and which part of a month it asks and gives that for. Pure.

Consecutive plans with the same terms are one *run*. A month falls into *stretches*, one for each run that is in
force in it. What terms give by the month is divided among stretches by quarters of an hour: parts sum to the whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from billing.periods import QUARTER_HOUR, Month, month, month_at
from money.amount import Money, rounded_quotient

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
FOREVER = datetime(9998, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Included:
    """So many units of an offering a month cost nothing. An empty `offering` stands for all of them together."""

    offering: str
    unit: str
    quantity: int

    def is_for(self, offering: str, unit: str) -> bool:
        return self.unit == unit and self.offering in ("", offering)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a tenant agreed to beside prices. Amounts are by the month, unless months are named; 0 is none.

    `fee` is paid at the start of every `fee_months`. `commitment` is what is spent at least in `commitment_months`;
    what lacks is asked for in the last of them. `maximum` is None where spending has no bound.
    """

    name: str
    fee: Money
    fee_months: int
    included: tuple[Included, ...]
    included_amount: Money
    discount_percent: Decimal
    minimum: Money
    maximum: Money | None
    commitment: Money
    commitment_months: int
    trial_days: int

    @property
    def ask_without_usage(self) -> bool:
        """Whether a month without any usage costs something."""
        return bool(self.fee or self.minimum or self.commitment)


@dataclass(frozen=True, slots=True)
class Coupon:
    """A percentage or an amount (the other is 0) off each of `months` months from `first_month` on; None: off all."""

    code: str
    name: str
    percent: Decimal
    amount: Money
    first_month: date
    months: int | None

    def holds_in(self, first_day: date) -> bool:
        past = months_between(self.first_month, first_day)
        return past >= 0 and (self.months is None or past < self.months)


@dataclass(frozen=True, slots=True)
class Span:
    """A time `[start, end)`."""

    start: datetime
    end: datetime

    def within(self, other: "Span") -> "Span | None":
        """What both have in common; None where that is nothing."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Span(start, end) if start < end else None


@dataclass(frozen=True, slots=True)
class Run:
    """The same terms without a break. `terms` is None where a plan has only prices."""

    terms: Terms | None
    span: Span
    is_trial: bool = False

    def ends_in(self, of: Month) -> bool:
        return of.start < self.span.end <= of.end


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of a month that is under one run."""

    month: Month
    run: Run
    span: Span


def runs(agreed: Sequence[tuple[datetime, Terms | None]]) -> list[Run]:
    """Runs from the beginning of time to its end, of terms that were agreed to from ascending instants on."""
    merged: list[Run] = []
    for start, terms in [(BEGINNING, None), *agreed]:
        if merged and merged[-1].terms == terms:
            continue
        if merged:
            merged[-1] = replace(merged[-1], span=Span(merged[-1].span.start, start))
        merged.append(Run(terms, Span(start, FOREVER)))
    return [part for run in merged for part in _trial_apart(run)]


def _trial_apart(run: Run) -> Iterator[Run]:
    """A trial lasts days of 24 hours; what terms ask begins when it is over."""
    trial_end = run.span.start + timedelta(days=run.terms.trial_days if run.terms else 0)
    if trial_end > run.span.start:
        yield Run(run.terms, Span(run.span.start, min(trial_end, run.span.end)), is_trial=True)
    if trial_end < run.span.end:
        yield replace(run, span=Span(trial_end, run.span.end))


def stretches(of: Month, all_runs: Sequence[Run]) -> list[Stretch]:
    """The month in parts, each under one run."""
    found = ((run, run.span.within(Span(of.start, of.end))) for run in all_runs)
    return [Stretch(of, run, span) for run, span in found if span]


def share(total: Money, part: Span, whole: Span) -> Money:
    """What of a total falls on a part of its time, as can be paid: contiguous parts sum to the whole to the last cent.

    Each part is the difference of two rounded sums, one until its end and one until its start.
    """
    until_end, until_start = (_until(total.pico, at, whole) for at in (part.end, part.start))
    return Money(until_end, total.currency).rounded() - Money(until_start, total.currency).rounded()


def share_of_quantity(total: int, part: Span, whole: Span) -> int:
    """The same for a number of units."""
    return _until(total, part.end, whole) - _until(total, part.start, whole)


def _until(total: int, at: datetime, whole: Span) -> int:
    return rounded_quotient(total * quarters(Span(whole.start, at)), quarters(whole))


def quarters(span: Span) -> int:
    return (span.end - span.start) // QUARTER_HOUR


def term_at(run: Run, months: int, of: Month) -> Span:
    """The `months` calendar months that `of` belongs to, counted from the month in which the run begins."""
    first = month_at(run.span.start, of.time_zone).first_day
    begun = months_between(first, of.first_day) // months * months
    start, end = (month(months_later(first, begun + more), of.time_zone).start for more in (0, months))
    return Span(start, end)


def months_between(first: date, later: date) -> int:
    return (later.year - first.year) * 12 + later.month - first.month


def months_later(first_day: date, months: int) -> date:
    years, month_index = divmod(first_day.month - 1 + months, 12)
    return date(first_day.year + years, month_index + 1, 1)
