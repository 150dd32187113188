"""An invoice reckoned as in a spreadsheet, from requests to the amount due. It shares no code with the product.

Rows go down a sheet: requests, quarters of an hour, tiers, lines, totals. Numbers are exact fractions until a line.
"""

import csv
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

YEARS = 3  # The trace is of 2023; it is invoiced as if it were of 2026.


@dataclass(frozen=True)
class Request:
    at: datetime
    project: int
    input: int
    output: int


@dataclass(frozen=True)
class Tiers:
    """So much per million units up to `step` units a month, and so much above."""

    step: int
    low: Fraction
    high: Fraction


@dataclass(frozen=True)
class Agreed:
    tiers: dict[str, Tiers]
    included: dict[str, int]
    commitment: Fraction
    tax_percent: int
    granted: Fraction
    bought: Fraction


@dataclass(frozen=True)
class Line:
    kind: str
    project: int
    unit: str
    quantity: int
    per_million: Fraction
    amount: Fraction


@dataclass(frozen=True)
class Totals:
    net: Fraction
    tax: Fraction
    gross: Fraction
    prepaid: Fraction

    @property
    def due(self) -> Fraction:
        return self.gross - self.prepaid


def read_trace(path: Path) -> list[Request]:
    """The rows of a trace, every other one in the tenant's second project."""
    with path.open(newline="") as file:
        return [
            Request(
                at=datetime.fromisoformat(f"{row['TIMESTAMP'][:26]}+00:00").replace(year=2023 + YEARS),
                project=number % 2,
                input=int(row["ContextTokens"]),
                output=int(row["GeneratedTokens"]),
            )
            for number, row in enumerate(csv.DictReader(file))
        ]


def cents(amount: Fraction) -> Fraction:
    """To the nearest cent, a half away from zero."""
    magnitude = (abs(amount) * 100 + Fraction(1, 2)) // 1
    return Fraction(magnitude if amount >= 0 else -magnitude, 100)


def usage_lines(requests: list[Request], unit: str, tiers: Tiers) -> list[Line]:
    """Quarter by quarter, and project by project within one: how much of it is below the step, and how much above."""
    quarters: dict[tuple[datetime, int], int] = {}
    for request in requests:
        begun = request.at - timedelta(
            minutes=request.at.minute % 15, seconds=request.at.second, microseconds=request.at.microsecond
        )
        quantity = request.input if unit == "input_uncached" else request.output
        quarters[begun, request.project] = quarters.get((begun, request.project), 0) + quantity
    below, above, reached = {0: 0, 1: 0}, {0: 0, 1: 0}, 0
    for (_, project), quantity in sorted(quarters.items()):
        cheap_from = max(tiers.step - reached, 0)
        below[project] += min(quantity, cheap_from)
        above[project] += max(quantity - cheap_from, 0)
        reached += quantity
    counts = [
        (project, count[project], price)
        for count, price in ((below, tiers.low), (above, tiers.high))
        for project in (0, 1)
    ]
    return [
        Line("usage", project, unit, count, price, cents(count * price / 1_000_000))
        for project, count, price in counts
        if count
    ]


def included_lines(lines: list[Line], unit: str, included: int) -> list[Line]:
    """What is free, taken off the dearest units first, and of these off the first project's."""
    found, left = [], included
    for line in sorted(lines, key=lambda line: (-line.per_million, line.project)):
        taken = min(left, line.quantity)
        left -= taken
        if taken:
            price = line.per_million
            free = cents(taken * price / 1_000_000)
            found.append(Line("included", line.project, unit, -taken, price, -free))
    return found


def month_lines(requests: list[Request], agreed: Agreed) -> list[Line]:
    found: list[Line] = []
    for unit, tiers in agreed.tiers.items():
        lines = usage_lines(requests, unit, tiers)
        found += lines + included_lines(lines, unit, agreed.included[unit])
    return found


def what_lacks(agreed: Agreed, spent: Fraction) -> list[Line]:
    """The line of the commitment's last month."""
    lacking = max(agreed.commitment - spent, Fraction(0))
    return [Line("commitment", -1, "", 1, Fraction(0), lacking)] if lacking else []


def grant_line(lines: list[Line], granted: Fraction) -> list[Line]:
    drawn = min(granted, sum((line.amount for line in lines), Fraction(0)))
    return [Line("grant", -1, "", 1, Fraction(0), -drawn)] if drawn else []


def totals(lines: list[Line], agreed: Agreed, bought: Fraction) -> Totals:
    net = sum((line.amount for line in lines), Fraction(0))
    tax = cents(net * agreed.tax_percent / 100)
    return Totals(net, tax, net + tax, min(bought, net + tax))
