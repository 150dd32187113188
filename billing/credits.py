"""How much of an invoice can still be taken back, and what taking back so much comes to. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from billing.errors import CreditOverLine
from billing.tax import tax_on
from money.amount import Money

TaxKey = tuple[str, Decimal]
"""The category and the rate, in percent, of a tax."""


@dataclass(frozen=True, slots=True)
class LineLeft:
    """A line of an invoice, less what credit notes took back of it: as printed, and exactly."""

    position: int
    tax: TaxKey
    amount: Money
    exact: Money

    def taken(self, amount: Money) -> "LineLeft":
        """The part of the line that is over `amount`; the last part takes all that is left exactly.

        Raises `CreditOverLine` where the line has not as much left, or `amount` cannot be paid.
        """
        low, high = sorted((0, self.amount.pico))
        if not amount or not low <= amount.pico <= high or amount != amount.rounded():
            raise CreditOverLine(f"{self.amount} of line {self.position} is left, and {amount} was asked for.")
        return replace(self, amount=amount, exact=self.exact if amount == self.amount else amount)


@dataclass(frozen=True, slots=True)
class TaxLeft:
    """A tax of an invoice, less what credit notes took back of it."""

    key: TaxKey
    net: Money
    tax: Money

    def on(self, net: Money) -> Money:
        """The tax on so much of it, rounded; never more than is left, and all of it on all that is left."""
        if net == self.net:
            return self.tax
        low, high = sorted((0, self.tax.pico))
        return Money(min(max(tax_on(net, self.key[1]).pico, low), high), net.currency)


def net_by_tax(lines: Iterable[LineLeft]) -> dict[TaxKey, Money]:
    """What lines come to by their taxes, in the order of the lines."""
    sums: dict[TaxKey, Money] = {}
    for line in lines:
        sums[line.tax] = sums.get(line.tax, Money.zero(line.amount.currency)) + line.amount
    return sums
