"""From usage to money: each quantity meets the one price in force when it was used, or is unpriced. Pure.

Every quantity has its place on an axis: how much of the same was used before it in the month, over all projects, in
the order in which it is given. A price says what a stretch of that axis costs, so stretches add up.

docs/pricing.md states the algorithm; a test executes its worked tables.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from operator import itemgetter
from typing import Generic, NamedTuple, TypeVar

from billing.matching import Match, met, qualified
from billing.periods import QUARTER_HOUR
from billing.price_kinds import Part, Price, UnitPrice
from metering.usage import ServiceTier, Unit
from money.amount import Money

__all__ = [
    "UNITS_IN_PRINT",
    "UNITS_OF_CHAT",
    "Prices",
    "RatedLine",
    "Rating",
    "Tariff",
    "Timeline",
    "UnitPrice",
    "Unpriced",
    "Used",
    "print_order",
    "rate",
]

T = TypeVar("T")

# In the order of print: requests, then input, then output.
UNITS_IN_PRINT: Sequence[str] = (Unit.REQUEST, *(unit for unit in Unit if unit is not Unit.REQUEST))

# What a chat answer can contain. A book that prices an offering prices all of these, or it is not published.
UNITS_OF_CHAT: Sequence[str] = (Unit.INPUT_UNCACHED, Unit.INPUT_CACHED, Unit.OUTPUT, Unit.REASONING)

# Requests are counted for information. They cost something only where the book says so.
UNITS_FREE_UNLESS_PRICED = frozenset({str(Unit.REQUEST)})


@dataclass(frozen=True, slots=True)
class Used:
    """A quantity of one unit, used in the quarter of an hour that began at `start`. Below zero it is taken back."""

    start: datetime
    project_id: int
    offering: str
    unit: str
    quantity: int
    grade: str = ""
    service_tier: str = ServiceTier.STANDARD


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Usage that meets no price: since when, of what, and how much."""

    first_start: datetime
    offering: str
    unit: str
    quantity: int
    grade: str = ""
    service_tier: str = ServiceTier.STANDARD

    def __str__(self) -> str:
        what = qualified(self.offering, self.grade, self.service_tier)
        return f"{self.quantity:,} {self.unit} of {what} from {self.first_start:%Y-%m-%d %H:%M} UTC on"


@dataclass(frozen=True, slots=True)
class RatedLine:
    """A month's quantity at one price. `amount` is exact, not yet rounded.

    `price` is None where the amount is not the product of quantity and price (packages, flat amounts); `detail` then
    tells one such price from another.
    """

    month: date
    project_id: int
    offering: str
    unit: str
    price: UnitPrice | None
    quantity: int
    first_start: datetime
    last_end: datetime
    amount: Money
    grade: str = ""
    service_tier: str = ServiceTier.STANDARD
    detail: str = ""


@dataclass(frozen=True)
class Rating:
    lines: list[RatedLine]
    unpriced: list[Unpriced]


Prices = Mapping[Match, Price]
"""The prices of one version of a book. No two of them meet the same usage."""


@dataclass(frozen=True)
class Timeline(Generic[T]):
    """Values that each hold from an instant on, until the next one begins. Instants ascend."""

    entries: Sequence[tuple[datetime, T]]

    def at(self, instant: datetime) -> T | None:
        """The latest value that has begun; None before the first."""
        following = bisect_right(self.entries, instant, key=itemgetter(0))
        return self.entries[following - 1][1] if following else None


@dataclass(frozen=True)
class Tariff:
    """All that a tenant ever agreed to: plans, each naming a book, and the published versions of these books."""

    plans: Timeline[int]
    books: Mapping[int, Timeline[Prices]]

    def price(
        self, at: datetime, offering: str, unit: str, grade: str = "", service_tier: str = ServiceTier.STANDARD
    ) -> Price | None:
        """The price of the plan in force by the version in force; None where nobody agreed to one."""
        found = met(self.prices(at), offering, unit, grade, service_tier)
        return None if found is None else found[1]

    def prices(self, at: datetime) -> Prices:
        """All prices of the plan in force by the version in force; none where nobody agreed to any."""
        book = self.plans.at(at)
        found = None if book is None else self.books[book].at(at)
        return {} if found is None else found


def rate(
    usage: Iterable[Used], tariff: Tariff, month_of: Callable[[datetime], date], cuts: Sequence[datetime] = ()
) -> Rating:
    """Price every quantity, and sum them by month, project, offering, grade, service tier, unit and price.

    Give all usage of a month in the order of invoicing: its place in the month decides what a quantity costs. Two
    prices in one month give two lines; the same price in two versions gives one. No line lies across one of `cuts`,
    instants that ascend; what a quantity costs is the same with and without them. Every quantity is in lines or in
    `unpriced`, except requests where the book has no price for them.
    """
    rater = _Rater(tariff, month_of, cuts)
    for used in usage:
        rater.take(used)
    return Rating(rater.lines(), rater.unpriced())


def print_order(line: RatedLine) -> tuple[int, datetime]:
    """Requests, then input, then output; within a unit by time."""
    return UNITS_IN_PRINT.index(line.unit), line.first_start


_What = tuple[str, str, str, str]  # Offering, unit, grade and service tier of usage.
_LineKey = tuple[date, int, int, _What, UnitPrice | None, str, str]


class _Moment(NamedTuple):
    """What holds in one quarter of an hour. `known` keeps what was looked up in its prices before."""

    month: date
    span: int  # How many cuts came before it.
    prices: Prices
    known: dict[_What, tuple[Match, Price] | None]


class _Line:
    """A line on its way."""

    __slots__ = ("first_start", "last_start", "pico", "quantity")

    def __init__(self, start: datetime) -> None:
        self.first_start = self.last_start = start
        self.quantity = self.pico = 0


class _Stretch(NamedTuple):
    """Usage at its place on an axis, of which the month's total is not known yet."""

    used: Used
    moment: _Moment
    axis: tuple[date, Match]
    price: Price
    before: int


class _Rater:
    """One rating. A plain price is reckoned at once; another waits until the month's totals are known."""

    def __init__(self, tariff: Tariff, month_of: Callable[[datetime], date], cuts: Sequence[datetime]) -> None:
        self._tariff = tariff
        self._month_of = month_of
        self._cuts = cuts
        self._moments: dict[datetime, _Moment] = {}
        self._known: dict[int, dict[_What, tuple[Match, Price] | None]] = {}
        self._totals: dict[tuple[date, Match], int] = {}
        self._stretches: list[_Stretch] = []
        self._lines: dict[_LineKey, _Line] = {}
        self._unpriced: dict[_What, Unpriced] = {}

    def take(self, used: Used) -> None:
        moment = self._moments.get(used.start) or self._moment(used.start)
        what = (used.offering, used.unit, used.grade, used.service_tier)
        try:
            found = moment.known[what]
        except KeyError:
            found = moment.known[what] = met(moment.prices, *what)
        if found is not None:
            self._place(used, what, moment, *found)
        elif used.unit not in UNITS_FREE_UNLESS_PRICED:
            self._unpriced[what] = _with(self._unpriced.get(what), used)

    def lines(self) -> list[RatedLine]:
        """All lines by month, project, offering, grade and service tier, and by `print_order`."""
        for stretch in self._stretches:
            used, total = stretch.used, self._totals[stretch.axis]
            what = (used.offering, used.unit, used.grade, used.service_tier)
            for part in stretch.price.parts(stretch.before, stretch.before + used.quantity, total):
                self._add(used, what, stretch.moment, stretch.price.currency, part)
        self._stretches.clear()
        return sorted((_rated(key, line) for key, line in self._lines.items()), key=_line_order)

    def unpriced(self) -> list[Unpriced]:
        return sorted(self._unpriced.values(), key=lambda gap: (gap.first_start, gap.offering, gap.unit, str(gap)))

    def _moment(self, start: datetime) -> _Moment:
        prices = self._tariff.prices(start)
        span = bisect_right(self._cuts, start)
        moment = _Moment(self._month_of(start), span, prices, self._known.setdefault(id(prices), {}))
        self._moments[start] = moment
        return moment

    def _place(self, used: Used, what: _What, moment: _Moment, match: Match, price: Price) -> None:
        """Put usage on the axis of the rates that match alike, whichever version or book they are of."""
        axis = (moment.month, match)
        before = self._totals.get(axis, 0)
        self._totals[axis] = before + used.quantity
        if isinstance(price, UnitPrice):
            self._add(used, what, moment, price.currency, Part(price, used.quantity, price.pico * used.quantity))
        else:
            self._stretches.append(_Stretch(used, moment, axis, price, before))

    def _add(self, used: Used, what: _What, moment: _Moment, currency: str, part: Part) -> None:
        key = (moment.month, moment.span, used.project_id, what, part.price, part.detail, currency)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(used.start)
        elif used.start > line.last_start:
            line.last_start = used.start
        elif used.start < line.first_start:
            line.first_start = used.start
        line.quantity += part.quantity
        line.pico += part.pico


def _rated(key: _LineKey, line: _Line) -> RatedLine:
    month, _, project_id, (offering, unit, grade, service_tier), price, detail, currency = key
    return RatedLine(
        month, project_id, offering, unit, price, line.quantity, line.first_start, line.last_start + QUARTER_HOUR,
        Money(line.pico, currency), grade, service_tier, detail,
    )  # fmt: skip


def _line_order(line: RatedLine) -> tuple[object, ...]:
    return line.month, line.project_id, line.offering, line.grade, line.service_tier, *print_order(line)


def _with(found: Unpriced | None, used: Used) -> Unpriced:
    if found is None:
        return Unpriced(used.start, used.offering, used.unit, used.quantity, used.grade, used.service_tier)
    return replace(found, first_start=min(found.first_start, used.start), quantity=found.quantity + used.quantity)
