"""What docs/pricing.md says of a plan's terms is true: its tables are executed."""

from datetime import datetime
from decimal import Decimal

from billing.charges import Charge, LineKind, difference
from billing.periods import month
from billing.statement import statement
from billing.terms import Included, Run, Terms, months_later, runs, stretches
from money.amount import Money
from tests.billing.agreements import BERLIN, NOVEMBER, coupon, terms, usage, usd
from tests.billing.test_pricing_page import Row, instant, tables

SECTION = "What a plan adds and takes off"
PRICE = "0.0000024"
COUPON = coupon(amount=usd(2), months=None)


def runs_of_the_page() -> list[Run]:
    _, agreed, *_ = tables(SECTION)
    return runs([(instant(start), terms_of(name, *figures)) for name, start, *figures in agreed])


def terms_of(name: str, fee: str, included: str, discount: str, minimum: str) -> Terms:
    return terms(
        name=name,
        fee=usd(fee),
        included=(Included("", "output", int(included)),),
        discount_percent=Decimal(discount),
        minimum=usd(minimum),
    )


def lines_of(charges: list[Charge], all_runs: list[Run]) -> list[Row]:
    """Charges as the page writes them: whose terms, which line, how many, and how much."""
    found = []
    for charge in charges:
        [part] = [
            part for part in stretches(NOVEMBER, all_runs) if part.span.start <= charge.first_start < part.span.end
        ]
        assert part.run.terms is not None
        found.append([part.run.terms.name, charge.kind.value, str(charge.quantity), f"{charge.printed.decimal:.2f}"])
    return found


def used(rows: list[Row]) -> list[Charge]:
    return [usage(int(output), PRICE, instant(start)) for start, output in rows]


def test_the_steps_of_the_page_are_the_order_of_a_statement() -> None:
    steps, *_ = tables(SECTION)
    order = [kind.value for kind in LineKind if kind not in (LineKind.FEE, LineKind.GRANT, LineKind.CREDIT)]
    assert [line for _, line, _ in steps] == [*order, "fee"]


def test_a_month_with_two_terms_costs_what_the_page_says() -> None:
    _, _, bought, lines, _, _ = tables(SECTION)
    all_runs = runs_of_the_page()
    assert lines_of(statement(NOVEMBER, "USD", used(bought), all_runs, [COUPON]), all_runs) == lines


def test_late_usage_is_corrected_as_the_page_says() -> None:
    _, _, bought, _, corrections, _ = tables(SECTION)
    all_runs = runs_of_the_page()
    change = instant("2026-11-20 23:00")

    def is_firm(charge: Charge) -> bool:
        return charge.first_start >= change

    before = statement(NOVEMBER, "USD", used(bought), all_runs, [COUPON])
    late = usage(4_000_000, PRICE, instant("2026-11-25 12:00"))
    now = statement(NOVEMBER, "USD", [*used(bought), late], all_runs, [COUPON])
    assert lines_of(difference(now, before, is_firm), all_runs) == corrections


def test_a_commitment_asks_for_what_the_page_says() -> None:
    *_, commitments = tables(SECTION)
    all_runs = runs([(NOVEMBER.start, terms(commitment=usd(100), commitment_months=3))])
    january = month(months_later(NOVEMBER.first_day, 2), BERLIN)
    for first, second, last, asked in commitments:
        spent: dict[datetime, Money] = {NOVEMBER.start: usd(first) + usd(second)}
        found = statement(january, "USD", [usage(1, last, january.start)], all_runs, spent_before=spent)
        assert sum((one.exact for one in found if one.kind == "commitment"), usd(0)) == usd(asked)
