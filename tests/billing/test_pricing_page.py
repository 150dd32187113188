"""docs/pricing.md is true: its tables are executed."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from billing.matching import Match
from billing.periods import month_at
from billing.price_kinds import Price
from billing.rating import Prices, RatedLine, Tariff, Timeline, UnitPrice, Used, print_order, rate
from billing.tax import tax_on
from money.amount import Money

PAGE = Path(__file__).resolve().parents[2] / "docs" / "pricing.md"
OFFERING = "llama-3.3-70b"
NOVEMBER = date(2026, 11, 1)

Row = list[str]


def tables() -> list[list[Row]]:
    """The rows of each table of the page, without its head and with numbers bare of their separators."""
    found: list[list[Row]] = [[]]
    for line in PAGE.read_text().splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip().replace(",", "") for cell in line.strip("|").split("|")])
        elif found[-1]:
            found.append([])
    return [rows[2:] for rows in found if rows]


def instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


def tariff(rates: list[Row]) -> Tariff:
    versions: dict[datetime, dict[Match, Price]] = {}
    for valid_from, offering, unit, amount, per in rates:
        versions.setdefault(instant(valid_from), {})[Match(offering, unit)] = UnitPrice.of(amount, "USD", int(per))
    book: Timeline[Prices] = Timeline(sorted(versions.items()))
    return Tariff(Timeline([(min(versions), 1)]), {1: book})


def month_of(at: datetime) -> date:
    return month_at(at, "Europe/Berlin").first_day


def in_order_of_print(line: RatedLine) -> tuple[object, ...]:
    return line.month != NOVEMBER, *print_order(line)


def test_the_worked_example_is_what_rating_gives() -> None:
    rates, usage, lines, totals = tables()
    used = [Used(instant(start), 1, OFFERING, unit, int(quantity)) for start, unit, quantity in usage]
    rating = rate(used, tariff(rates), month_of)
    assert rating.unpriced == []
    got = [
        (
            f"{line.month:%Y-%m}",
            line.unit,
            line.quantity,
            line.price and line.price.amount,
            line.amount,
            line.amount.rounded(),
        )
        for line in sorted(rating.lines, key=in_order_of_print)
    ]
    assert got == [
        (month, unit, int(quantity), *(Money.of(amount, "USD") for amount in (price, exact, printed)))
        for month, unit, quantity, price, exact, printed in lines
    ]
    net = sum((line.amount.rounded() for line in rating.lines), Money.zero("USD"))
    tax = tax_on(net, Decimal(19))
    assert [Money.of(amount, "USD") for _, amount in totals] == [net, tax, net + tax]
