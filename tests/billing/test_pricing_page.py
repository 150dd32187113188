"""docs/pricing.md is true: its tables are executed."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from billing.matching import Match, met, overlapping
from billing.periods import month_at
from billing.price_kinds import Price, price_of
from billing.rating import Prices, RatedLine, Tariff, Timeline, UnitPrice, Used, print_order, rate
from billing.tax import tax_on
from money.amount import Money

PAGE = Path(__file__).resolve().parents[2] / "docs" / "pricing.md"
OFFERING = "llama-3.3-70b"
NOVEMBER = date(2026, 11, 1)

Row = list[str]


def tables(section: str) -> list[list[Row]]:
    """The rows of each table of a section, without its head and with numbers bare of their separators."""
    found: list[list[Row]] = [[]]
    for line in PAGE.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0].splitlines():
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
    rates, usage, lines, totals = tables("A worked example")
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


def match_of(grade: str, tier: str) -> Match:
    return Match(OFFERING, "output", {"no grade": ""}.get(grade, grade), tier)


def test_usage_meets_the_rates_that_the_page_says() -> None:
    rates, usage = tables("Which rate usage meets")
    saved = {match_of(grade, tier): name for name, grade, tier in rates if "refused" not in tier}
    assert overlapping(saved) == []
    [refused] = [match_of(grade, "any") for _, grade, tier in rates if "refused" in tier]
    assert {saved[one] for one, other in overlapping([*saved, refused]) if other == refused} == {"C", "E"}
    for grade, tier, name in usage:
        found = met(saved, *match_of(grade, tier))
        assert (found[1] if found else "none") == name


def prices_of_the_page() -> dict[str, Price]:
    prices, _, _ = tables("Kinds of prices")
    return {
        name: price_of(kind, usd(amount, *filter(None, amounts.split("; "))), int(per), numbers(above))
        for name, kind, amount, per, above, amounts in prices
    }


def usd(*amounts: str) -> list[Money]:
    return [Money.of(amount, "USD") for amount in amounts]


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split("; ") if number]


def test_whole_months_cost_what_the_page_says() -> None:
    prices = list(prices_of_the_page().values())
    _, months, _ = tables("Kinds of prices")
    for quantity, *amounts in months:
        total = int(quantity)
        got = [Money(sum(part.pico for part in price.parts(0, total, total)), "USD") for price in prices]
        assert got == usd(*amounts)


def test_pieces_of_a_month_cost_what_the_page_says() -> None:
    _, _, pieces = tables("Kinds of prices")
    total = sum(int(row[3]) for row in pieces)
    place = 0
    for _, _, _, quantity, before, *amounts in pieces:
        assert int(before) == place
        place += int(quantity)
        for price, amount in zip(prices_of_the_page().values(), usd(*amounts), strict=True):
            assert Money(sum(part.pico for part in price.parts(int(before), place, total)), "USD") == amount


def test_rating_places_the_pieces_of_the_page_as_it_says() -> None:
    _, _, pieces = tables("Kinds of prices")
    used = [
        Used(instant(start), int(project), OFFERING, "output", int(count)) for _, start, project, count, *_ in pieces
    ]
    for place, price in enumerate(prices_of_the_page().values()):
        book: Timeline[Prices] = Timeline([(instant("2026-01-01 00:00"), {Match(OFFERING, "output"): price})])
        agreed = Tariff(Timeline([(instant("2026-01-01 00:00"), 1)]), {1: book})
        for project in (1, 2):
            asked = [Decimal(row[5 + place]) for row in pieces if int(row[2]) == project]
            lines = [line for line in rate(used, agreed, month_of).lines if line.project_id == project]
            assert sum(line.amount.decimal for line in lines) == sum(asked)


def test_a_first_invoice_by_volume_asks_what_the_page_says_of_it() -> None:
    _, _, pieces = tables("Kinds of prices")
    first = sum(int(row[3]) for row in pieces if row[0] == "1")
    volume = prices_of_the_page()["V"]
    assert [part.pico for part in volume.parts(0, first, first)] == [Money.of(24, "USD").pico]
