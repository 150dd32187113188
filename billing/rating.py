"""From usage to money: each bucket meets the one price in force when it began, or is unpriced. Pure.

docs/pricing.md states the algorithm; a test executes its worked table.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from operator import itemgetter
from typing import Generic, TypeVar

from billing.errors import InexactRate
from billing.periods import QUARTER_HOUR
from metering.usage import Unit
from money.amount import Money, rounded_quotient
from money.errors import Inexact

T = TypeVar("T")

# In the order of print: requests, then input, then output.
UNITS_IN_PRINT: Sequence[str] = (Unit.REQUEST, *(unit for unit in Unit if unit is not Unit.REQUEST))

# What a chat answer can contain. A book that prices an offering prices all of these, or it is not published.
UNITS_OF_CHAT: Sequence[str] = (Unit.INPUT_UNCACHED, Unit.INPUT_CACHED, Unit.OUTPUT, Unit.REASONING)

# Requests are counted for information. They cost something only where the book says so.
UNITS_FREE_UNLESS_PRICED = frozenset({str(Unit.REQUEST)})


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """`amount` for every `per` units; one unit costs a whole number of 10^-12, or the price does not exist."""

    amount: Money
    per: int

    @classmethod
    def of(cls, amount: Decimal | int | str, currency: str, per: int) -> "UnitPrice":
        try:
            money = Money.of(amount, currency)
        except Inexact as refusal:
            raise InexactRate(str(refusal)) from refusal
        if money.pico % per:
            raise InexactRate(
                f"{money} per {per:,} makes one unit cost a fraction of 10^-12 {currency}. "
                f"Give at most {13 - len(str(per))} decimals, or a price per fewer units."
            )
        return cls(money, per)

    @property
    def pico(self) -> int:
        """What one unit costs, in 10^-12 of the currency."""
        return self.amount.pico // self.per

    def of_quantity(self, quantity: int) -> Money:
        """What so many units cost, exactly."""
        return Money(self.pico, self.amount.currency) * quantity


@dataclass(frozen=True, slots=True)
class Used:
    """A quantity of one unit, used in the quarter of an hour that began at `start`."""

    start: datetime
    project_id: int
    offering: str
    unit: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Usage that meets no price: since when, of what, and how much."""

    first_start: datetime
    offering: str
    unit: str
    quantity: int

    def __str__(self) -> str:
        return f"{self.quantity:,} {self.unit} of {self.offering} from {self.first_start:%Y-%m-%d %H:%M} UTC on"


@dataclass(frozen=True, slots=True)
class RatedLine:
    """A month's quantity at one price. `amount` is the exact product, not yet rounded."""

    month: date
    project_id: int
    offering: str
    unit: str
    price: UnitPrice
    quantity: int
    first_start: datetime
    last_end: datetime

    @property
    def amount(self) -> Money:
        return self.price.of_quantity(self.quantity)


@dataclass(frozen=True)
class Rating:
    lines: list[RatedLine]
    unpriced: list[Unpriced]


Prices = Mapping[tuple[str, str], UnitPrice]
"""The prices of one version of a book, by offering and unit."""


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

    def price(self, at: datetime, offering: str, unit: str) -> UnitPrice | None:
        """The price of the plan in force by the version in force; None where nobody agreed to one."""
        return self.prices(at).get((offering, unit))

    def prices(self, at: datetime) -> Prices:
        """All prices of the plan in force by the version in force; none where nobody agreed to any."""
        book = self.plans.at(at)
        found = None if book is None else self.books[book].at(at)
        return {} if found is None else found


def rate(usage: Iterable[Used], tariff: Tariff, month_of: Callable[[datetime], date]) -> Rating:
    """Price every quantity, and sum them by month, project, offering, unit and price.

    Two prices in one month give two lines; the same price in two versions gives one. Every quantity is in exactly
    one line or in `unpriced`, except requests where the book has no price for them.
    """
    lines: dict[tuple[date, int, str, str, UnitPrice], RatedLine] = {}
    unpriced: dict[tuple[str, str], Unpriced] = {}
    for used in usage:
        price = tariff.price(used.start, used.offering, used.unit)
        if price is not None:
            key = (month_of(used.start), used.project_id, used.offering, used.unit, price)
            lines[key] = _with(lines.get(key), key, used)
        elif used.unit not in UNITS_FREE_UNLESS_PRICED:
            group = (used.offering, used.unit)
            unpriced[group] = _with_unpriced(unpriced.get(group), used)
    in_order = sorted(lines.values(), key=lambda line: (line.month, line.project_id, line.offering, *print_order(line)))
    return Rating(
        in_order, sorted(unpriced.values(), key=lambda found: (found.first_start, found.offering, found.unit))
    )


def print_order(line: RatedLine) -> tuple[int, datetime]:
    """Requests, then input, then output; within a unit by time."""
    return UNITS_IN_PRINT.index(line.unit), line.first_start


def tax_on(net: Money, rate_percent: Decimal) -> Money:
    """The tax on an invoice's net sum, rounded once. The rate has two decimals at most, so the product is exact."""
    return Money(rounded_quotient(net.pico * int(rate_percent * 100), 10_000), net.currency).rounded()


def _with(line: RatedLine | None, key: tuple[date, int, str, str, UnitPrice], used: Used) -> RatedLine:
    end = used.start + QUARTER_HOUR
    if line is None:
        return RatedLine(*key, used.quantity, used.start, end)
    return replace(
        line,
        quantity=line.quantity + used.quantity,
        first_start=min(line.first_start, used.start),
        last_end=max(line.last_end, end),
    )


def _with_unpriced(found: Unpriced | None, used: Used) -> Unpriced:
    if found is None:
        return Unpriced(used.start, used.offering, used.unit, used.quantity)
    return replace(found, first_start=min(found.first_start, used.start), quantity=found.quantity + used.quantity)
