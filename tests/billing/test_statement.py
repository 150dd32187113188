"""What a month costs: usage, less what is included and taken off, and at least and at most what was agreed to."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.charges import Charge, LineKind, difference
from billing.periods import month
from billing.statement import statement
from billing.terms import Coupon, Included, Run, Span, Terms, months_later, runs, share, stretches
from money.amount import Money
from tests.billing.agreements import (
    BERLIN,
    LONG_AGO,
    NOVEMBER,
    coupon,
    coupons,
    in_november,
    quarters_of_november,
    terms,
    timelines,
    usage,
    usd,
    used,
)

Agreed = list[tuple[datetime, Terms | None]]
NOTHING = usd(0)


def of_november(
    agreed: Terms, *charges: Charge, coupons: tuple[Coupon, ...] = ()
) -> list[tuple[str, str, Decimal | int]]:
    found = statement(NOVEMBER, "USD", charges, runs([(LONG_AGO, agreed)]), coupons)
    return [(charge.kind, charge.detail, charge.exact.decimal) for charge in found]


def total(charges: list[Charge], *kinds: LineKind) -> Money:
    return sum((charge.printed for charge in charges if not kinds or charge.kind in kinds), NOTHING)


def test_the_dearest_units_are_the_ones_that_are_included() -> None:
    agreed = terms(included=(Included("m", "output", 150),))
    found = statement(NOVEMBER, "USD", [usage(100, "1"), usage(100, "2")], runs([(LONG_AGO, agreed)]))
    assert [(charge.kind, charge.quantity, charge.exact) for charge in found[2:]] == [
        ("included", -100, usd(-200)),
        ("included", -50, usd(-50)),
    ]


def test_units_are_not_included_twice() -> None:
    agreed = terms(included=(Included("m", "output", 60), Included("", "output", 60)))
    assert of_november(agreed, usage(100))[1:] == [("included", "", -100)]


def test_no_more_is_included_than_was_used_and_not_taken_back() -> None:
    agreed = terms(included=(Included("m", "output", 150),))
    charges = [usage(100, "1"), usage(-40, "3")]
    found = statement(NOVEMBER, "USD", charges, runs([(LONG_AGO, agreed)]))
    assert [charge.quantity for charge in found] == [100, -40, -60]


def test_what_is_included_of_one_unit_frees_no_other() -> None:
    agreed = terms(included=(Included("m", "input_uncached", 60), Included("other", "output", 60)))
    assert of_november(agreed, usage(100)) == [("usage", "", 100)]


def test_an_included_amount_is_no_credit_for_another_month() -> None:
    assert of_november(terms(included_amount=usd(500)), usage(100)) == [("usage", "", 100), ("included", "", -100)]


def test_terms_are_heeded_in_their_order() -> None:
    agreed = terms(
        included=(Included("m", "output", 100),),
        discount_percent=Decimal("12.5"),
        minimum=usd(900),
        fee=usd(49),
    )
    assert of_november(agreed, usage(1_100), coupons=(coupon(amount=usd(75)),)) == [
        ("usage", "", 1_100),
        ("included", "", -100),
        ("discount", "12.5", -125),
        ("coupon", "Launch", -75),
        ("minimum", "", 100),
        ("fee", "Team", 49),
    ]


def test_a_maximum_bounds_what_usage_costs_and_the_fee_comes_on_top() -> None:
    assert of_november(terms(maximum=usd(80), fee=usd(10)), usage(100)) == [
        ("usage", "", 100),
        ("maximum", "", -20),
        ("fee", "Team", 10),
    ]


def test_nothing_costs_anything_in_a_trial() -> None:
    agreed = terms(trial_days=7, minimum=usd(30), fee=usd(60))
    charges = [usage(100), usage(5, at=in_november(7 * 96))]
    found = statement(NOVEMBER, "USD", charges, runs([(NOVEMBER.start, agreed)]))
    assert [(charge.kind, charge.detail, charge.exact) for charge in found] == [
        ("usage", "", usd(100)),
        ("discount", "trial", usd(-100)),
        ("usage", "", usd(5)),
        ("minimum", "", usd(18)),  # 23 of 30 days.
        ("fee", "Team", usd(46)),
    ]


def test_a_coupon_is_used_up_within_its_month() -> None:
    agreed = [(LONG_AGO, terms()), (in_november(960), terms(name="Other"))]
    charges = [usage(60), usage(80, at=in_november(960))]
    found = statement(NOVEMBER, "USD", charges, runs(agreed), [coupon(amount=usd(100))])
    assert [charge.exact for charge in found if charge.kind == "coupon"] == [usd(-60), usd(-40)]


def test_a_coupon_holds_for_its_months() -> None:
    two = coupon(months=2)
    assert [two.holds_in(months_later(NOVEMBER.first_day, more)) for more in (-1, 0, 1, 2)] == [
        False,
        True,
        True,
        False,
    ]
    assert coupon(months=None).holds_in(months_later(NOVEMBER.first_day, 99))


def test_the_fee_of_a_year_is_asked_for_once_and_the_rest_given_back_when_it_ends() -> None:
    agreed = terms(fee=usd(365), fee_months=12)
    end = NOVEMBER.end - timedelta(days=10)
    all_runs = runs([(LONG_AGO, agreed), (end, None)])
    months = [month(months_later(LONG_AGO.date().replace(month=1, year=2026, day=1), n), BERLIN) for n in range(12)]
    fees = {f"{of}": total(statement(of, "USD", [], all_runs)) for of in months}
    assert {of: fee for of, fee in fees.items() if fee} == {"2026-01": usd(365), "2026-11": usd(-41)}


def test_a_commitment_is_asked_for_in_its_last_month() -> None:
    agreed = terms(commitment=usd(1_000), commitment_months=2)
    all_runs = runs([(NOVEMBER.start, agreed)])
    assert total(statement(NOVEMBER, "USD", [usage(300)], all_runs)) == usd(300)
    december = month(months_later(NOVEMBER.first_day, 1), BERLIN)
    late = usage(100, at=december.start)
    found = statement(december, "USD", [late], all_runs, spent_before={NOVEMBER.start: usd(300)})
    assert total(found, LineKind.COMMITMENT) == usd(600)
    enough = statement(december, "USD", [late], all_runs, spent_before={NOVEMBER.start: usd(950)})
    assert total(enough) == usd(100)


def test_a_commitment_that_ends_early_is_asked_for_by_its_part() -> None:
    agreed = terms(commitment=usd(6_100), commitment_months=2)  # November and December have 61 days.
    found = statement(NOVEMBER, "USD", [usage(300)], runs([(NOVEMBER.start, agreed), (in_november(960), None)]))
    assert total(found, LineKind.COMMITMENT) == usd(700)


def spent(charges: list[Charge], span: Span) -> Money:
    """All but the fee of what is charged for one stretch."""
    mine = [charge for charge in charges if span.start <= charge.first_start < span.end or charge.kind == "commitment"]
    return sum((charge.printed for charge in mine if charge.kind != "fee"), NOTHING)


def whole_month(run: Run, amount: Callable[[Terms], Money], span: Span) -> Money:
    assert run.terms is not None
    return share(amount(run.terms), span, Span(NOVEMBER.start, NOVEMBER.end))


@given(timelines(quarters_of_november), used, st.lists(coupons, max_size=2, unique_by=lambda one: one.name))
def test_each_stretch_costs_at_least_its_minimum_and_at_most_its_maximum(
    agreed: Agreed, charges: list[Charge], held: list[Coupon]
) -> None:
    all_runs = runs(agreed)
    for part in stretches(NOVEMBER, all_runs):
        mine = [charge for charge in charges if part.span.start <= charge.first_start < part.span.end]
        if part.run.is_trial:
            continue
        alone = [Run(part.run.terms, part.span)]
        cost = spent(statement(NOVEMBER, "USD", mine, alone, held), part.span)
        assert cost >= NOTHING
        if part.run.terms:
            assert cost >= whole_month(part.run, lambda found: found.minimum, part.span)
            if part.run.terms.maximum is not None:
                maximum = part.run.terms.maximum
                assert cost <= share(maximum, part.span, Span(NOVEMBER.start, NOVEMBER.end))


@given(timelines(quarters_of_november), used, st.lists(coupons, max_size=2, unique_by=lambda one: one.name))
def test_no_month_that_begins_a_run_costs_less_than_nothing(
    agreed: Agreed, charges: list[Charge], held: list[Coupon]
) -> None:
    found = statement(NOVEMBER, "USD", charges, runs(agreed), held)
    assert total(found) >= NOTHING
    assert total(found, LineKind.USAGE).rounded() == total(found, LineKind.USAGE)
    assert sum(charge.quantity for charge in found if charge.kind == "usage") == sum(one.quantity for one in charges)


@given(timelines(quarters_of_november), st.lists(used, min_size=1, max_size=4))
def test_invoices_that_each_charge_what_is_still_due_sum_to_the_statement_of_everything(
    agreed: Agreed, arrivals: list[list[Charge]]
) -> None:
    """Usage comes in, a part at a time. The lines of all invoices are the lines of one that waited for all of it."""
    all_runs = runs(agreed)
    starts = [part.span.start for part in stretches(NOVEMBER, all_runs)]

    def part_of(charge: Charge) -> int:
        return sum(start <= charge.first_start for start in starts)

    invoiced: list[Charge] = []
    arrived: list[Charge] = []
    for more in arrivals:
        arrived += more
        due = statement(NOVEMBER, "USD", arrived, all_runs)
        invoiced += difference(due, invoiced, part_of)
    due = statement(NOVEMBER, "USD", arrived, all_runs)
    assert difference(due, invoiced, part_of) == []
    assert total(due) == total(invoiced)


@given(timelines(quarters_of_november), st.integers(1, 11))
def test_fees_of_consecutive_months_sum_to_the_fees_of_the_time_they_are_for(agreed: Agreed, months: int) -> None:
    """However often plans change, what is paid for is what was in force."""
    all_runs = runs([*agreed, (NOVEMBER.end, None)])
    first = months_later(NOVEMBER.first_day, 0)
    paid = sum(
        (
            total(statement(month(months_later(first, n), BERLIN), "USD", [], all_runs), LineKind.FEE)
            for n in range(months)
        ),
        NOTHING,
    )
    due = NOTHING
    for run in all_runs:
        if run.terms and not run.is_trial:
            whole = Span(NOVEMBER.start, month(months_later(first, run.terms.fee_months), BERLIN).start)
            due += share(run.terms.fee, run.span, whole)
    assert paid == due
