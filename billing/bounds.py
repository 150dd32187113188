"""What usage costs at most, wherever in its month it comes to lie. Pure.

Budgets count this, for a gateway knows what a request used and not what the whole month will have used: so a hard
budget holds, and an invoice asks for as much or for less.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, datetime

from billing.matching import Match, met
from billing.price_kinds import Price
from billing.rating import Tariff, Used


def most(usage: Iterable[Used], tariff: Tariff, month_of: Callable[[datetime], date]) -> int:
    """In 10^-12 of the currency. Usage without a price costs nothing here: it blocks the invoice instead."""
    sums: dict[tuple[date, Match, Price], int] = defaultdict(int)
    for used in usage:
        found = met(tariff.prices(used.start), used.offering, used.unit, used.grade, used.service_tier)
        if found is not None:
            sums[month_of(used.start), *found] += used.quantity
    return sum(price.most(quantity) for (_, _, price), quantity in sums.items())
