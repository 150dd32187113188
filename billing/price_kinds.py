"""What a month's usage of one thing costs, by kind of price. Pure.

A price is a function F of the month's quantity, and usage that takes the quantity from a to b costs F(b) - F(a):

kind       | F(x)
-----------|------------------------------------------------------------------------------
per unit   | x times the price
graduated  | each part of x at the price of the tier that it lies in
volume     | x times the price of the tier that the month's whole quantity lies in
package    | the packages that are begun, each at its amount
flat       | one amount, however large x is, and nothing for nothing

With a tier above 1,000,000, the millionth unit is still of the tier before.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple, Protocol

from billing.errors import InexactRate, TiersAreUnclear
from money.amount import Money
from money.errors import Inexact


class PriceKind(StrEnum):
    """How a rate's amount is asked."""

    PER_UNIT = "per_unit"
    GRADUATED = "graduated"
    VOLUME = "volume"
    PACKAGE = "package"
    FLAT = "flat"


class Part(NamedTuple):
    """What a stretch of an axis costs at one price: `pico`, in 10^-12 of the currency.

    `price` is None where the cost is not the product of the quantity and a price; `detail` then names the price.
    """

    price: "UnitPrice | None"
    quantity: int
    pico: int
    detail: str = ""


class Price(Protocol):
    """What a month's usage of one thing costs. The kinds of it follow."""

    @property
    def currency(self) -> str: ...

    def parts(self, before: int, after: int, total: int) -> Iterable[Part]:
        """What it costs to go from `before` units of a month to `after`, in a month that has `total` of them.

        `after` is the smaller one where usage is taken back.
        """

    def most(self, quantity: int) -> int:
        """What so many units can cost at most, wherever in a month they are used, in 10^-12 of the currency."""

    @property
    def dearest(self) -> tuple[int, int]:
        """`(fixed, each)`: no quantity above 0 costs more than `fixed + each * quantity`, in 10^-12 of the currency."""


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """`amount` for every `per` units; one unit costs a whole number of 10^-12, or the price does not exist."""

    amount: Money
    per: int

    @classmethod
    def of(cls, amount: Decimal | int | str, currency: str, per: int) -> "UnitPrice":
        return cls.exactly(exact_money(amount, currency), per)

    @classmethod
    def exactly(cls, amount: Money, per: int) -> "UnitPrice":
        if amount.pico % per:
            raise InexactRate(
                f"{amount} per {per:,} makes one unit cost a fraction of 10^-12 {amount.currency}. "
                f"Give at most {13 - len(str(per))} decimals, or a price per fewer units."
            )
        return cls(amount, per)

    @property
    def currency(self) -> str:
        return self.amount.currency

    @property
    def pico(self) -> int:
        """What one unit costs, in 10^-12 of the currency."""
        return self.amount.pico // self.per

    @property
    def dearest(self) -> tuple[int, int]:
        return 0, self.pico

    def of_quantity(self, quantity: int) -> Money:
        """What so many units cost, exactly."""
        return Money(self.pico, self.amount.currency) * quantity

    def parts(self, before: int, after: int, total: int) -> Iterable[Part]:
        return (Part(self, after - before, self.pico * (after - before)),)

    def most(self, quantity: int) -> int:
        return self.pico * quantity


@dataclass(frozen=True, slots=True)
class Tiers:
    """Unit prices by quantity: `prices[0]` from the first unit on, `prices[n + 1]` above `above[n]` units."""

    above: tuple[int, ...]
    prices: tuple[UnitPrice, ...]

    @classmethod
    def of(cls, prices: Sequence[UnitPrice], above: Sequence[int]) -> "Tiers":
        """Raises `TiersAreUnclear` where the steps do not ascend from above 0, or do not fit the prices."""
        if not above or len(prices) != len(above) + 1:
            raise TiersAreUnclear(f"{len(above)} steps and {len(prices) - 1} prices above them do not make tiers.")
        if above[0] < 1 or any(low >= high for low, high in pairwise(above)):
            raise TiersAreUnclear(f"The steps {', '.join(f'{step:,}' for step in above)} do not ascend from above 0.")
        return cls(tuple(above), tuple(prices))

    @property
    def dearest_pico(self) -> int:
        return max(price.pico for price in self.prices)

    def at(self, quantity: int) -> UnitPrice:
        """The price of the tier that the last of so many units lies in."""
        return self.prices[bisect_left(self.above, quantity)]

    def within(self, low: int, high: int) -> Iterator[tuple[UnitPrice, int]]:
        """How many of the units above `low` and up to `high` lie in each tier, where any do."""
        starts: list[int | None] = [None, *self.above]
        ends: list[int | None] = [*self.above, None]
        for start, end, price in zip(starts, ends, self.prices, strict=True):
            first = low if start is None else max(low, start)
            last = high if end is None else min(high, end)
            if first < last:
                yield price, last - first


@dataclass(frozen=True, slots=True)
class Graduated:
    """Each unit costs what its own tier says."""

    tiers: Tiers

    @property
    def currency(self) -> str:
        return self.tiers.prices[0].currency

    @property
    def dearest(self) -> tuple[int, int]:
        return 0, self.tiers.dearest_pico

    def parts(self, before: int, after: int, total: int) -> Iterable[Part]:
        sign = 1 if after >= before else -1
        for price, quantity in self.tiers.within(min(before, after), max(before, after)):
            yield Part(price, sign * quantity, sign * quantity * price.pico)

    def most(self, quantity: int) -> int:
        return self.tiers.dearest_pico * quantity


@dataclass(frozen=True, slots=True)
class Volume:
    """Every unit of the month costs what the tier says that the month's total lies in."""

    tiers: Tiers

    @property
    def currency(self) -> str:
        return self.tiers.prices[0].currency

    @property
    def dearest(self) -> tuple[int, int]:
        return 0, self.tiers.dearest_pico

    def parts(self, before: int, after: int, total: int) -> Iterable[Part]:
        return self.tiers.at(total).parts(before, after, total)

    def most(self, quantity: int) -> int:
        return self.tiers.dearest_pico * quantity


@dataclass(frozen=True, slots=True)
class Package:
    """Each package of `size` units costs `amount` as soon as its first unit is used."""

    amount: Money
    size: int

    @property
    def currency(self) -> str:
        return self.amount.currency

    @property
    def dearest(self) -> tuple[int, int]:
        return self.amount.pico, -(-self.amount.pico // self.size)

    def parts(self, before: int, after: int, total: int) -> Iterable[Part]:
        packages = self._begun(after) - self._begun(before)
        return (Part(None, after - before, packages * self.amount.pico, f"{self.amount} / {self.size:,}"),)

    def most(self, quantity: int) -> int:
        return self._begun(quantity) * self.amount.pico

    def _begun(self, quantity: int) -> int:
        return max(0, -(-quantity // self.size))


@dataclass(frozen=True, slots=True)
class Flat:
    """One amount for a month in which anything is used. Who uses the first of it pays it."""

    amount: Money

    @property
    def currency(self) -> str:
        return self.amount.currency

    @property
    def dearest(self) -> tuple[int, int]:
        return self.amount.pico, 0

    def parts(self, before: int, after: int, total: int) -> Iterable[Part]:
        times = int(after > 0) - int(before > 0)
        return (Part(None, after - before, times * self.amount.pico, str(self.amount)),)

    def most(self, quantity: int) -> int:
        return self.amount.pico if quantity > 0 else 0


def price_of(kind: str, amounts: Sequence[Money], per: int, above: Sequence[int] = ()) -> Price:
    """The price that a rate states: one amount, and one more for every step.

    Tiers are priced `per` so many units, packages hold so many. Raises `InexactRate` where a unit's price is too fine,
    and `TiersAreUnclear` where the steps do not ascend, or fit neither the kind nor the amounts.
    """
    if kind in (PriceKind.GRADUATED, PriceKind.VOLUME):
        tiers = Tiers.of([UnitPrice.exactly(amount, per) for amount in amounts], above)
        return Graduated(tiers) if kind == PriceKind.GRADUATED else Volume(tiers)
    if above or len(amounts) != 1:
        raise TiersAreUnclear(f"A price of the kind {kind} has no tiers.")
    if kind == PriceKind.PACKAGE:
        return Package(amounts[0], per)
    return Flat(amounts[0]) if kind == PriceKind.FLAT else UnitPrice.exactly(amounts[0], per)


def exact_money(amount: Decimal | int | str, currency: str) -> Money:
    """An amount of a rate; `InexactRate` where it is finer than 10^-12."""
    try:
        return Money.of(amount, currency)
    except Inexact as refusal:
        raise InexactRate(str(refusal)) from refusal
