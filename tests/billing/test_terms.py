"""Months fall into parts under the same terms, and what is divided among parts adds up to the whole."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from billing.periods import month
from billing.terms import FOREVER, Span, Terms, runs, share, share_of_quantity, stretches, term_at
from money.amount import Money
from tests.billing.agreements import BERLIN, LONG_AGO, NOVEMBER, QUARTER, terms, timelines, usd

Agreed = list[tuple[datetime, Terms | None]]

instants = st.integers(-3_000, 6_000).map(lambda number: NOVEMBER.start + number * QUARTER)


def test_plans_with_the_same_terms_are_one_run() -> None:
    team, solo = terms(fee=usd(10)), terms(fee=usd(5))
    found = runs([(LONG_AGO, team), (NOVEMBER.start, team), (NOVEMBER.end, solo), (NOVEMBER.end + QUARTER, None)])
    assert [(run.terms, run.span.start, run.span.end) for run in found[1:]] == [
        (team, LONG_AGO, NOVEMBER.end),
        (solo, NOVEMBER.end, NOVEMBER.end + QUARTER),
        (None, NOVEMBER.end + QUARTER, FOREVER),
    ]


def test_a_trial_is_a_run_of_its_own() -> None:
    trial, after = runs([(NOVEMBER.start, terms(trial_days=14))])[1:]
    assert (trial.is_trial, trial.span.end - trial.span.start) == (True, timedelta(days=14))
    assert (after.is_trial, after.span) == (False, Span(trial.span.end, FOREVER))


def test_a_plan_that_ends_in_its_trial_has_no_more_than_the_trial() -> None:
    found = runs([(NOVEMBER.start, terms(trial_days=14)), (NOVEMBER.start + timedelta(days=3), None)])
    assert [(run.is_trial, run.span.end) for run in found[1:]] == [
        (True, NOVEMBER.start + timedelta(days=3)),
        (False, FOREVER),
    ]


def test_months_are_counted_from_the_month_in_which_a_run_begins() -> None:
    run = runs([(datetime(2026, 8, 31, 22, 0, tzinfo=UTC), terms())])[-1]  # The first of September in Berlin.
    quarter = term_at(run, 3, NOVEMBER)
    assert quarter == Span(month(date(2026, 9, 1), BERLIN).start, month(date(2026, 12, 1), BERLIN).start)
    assert term_at(run, 3, month(date(2026, 12, 1), BERLIN)).start == quarter.end


@given(timelines(instants))
def test_the_stretches_of_a_month_are_contiguous_and_make_it_up(agreed: Agreed) -> None:
    parts = [part.span for part in stretches(NOVEMBER, runs(agreed))]
    assert (parts[0].start, parts[-1].end) == (NOVEMBER.start, NOVEMBER.end)
    assert all(one.end == following.start for one, following in pairwise(parts))


cuts = st.lists(st.integers(1, 30 * 96 - 1), unique=True, max_size=10)


def parts_of_november(numbers: list[int]) -> list[Span]:
    instants = [NOVEMBER.start, *(NOVEMBER.start + number * QUARTER for number in sorted(numbers)), NOVEMBER.end]
    return [Span(*both) for both in pairwise(instants)]


@given(st.integers(0, 10**9), st.sampled_from(["USD", "JPY", "KWD"]), cuts)
def test_the_shares_of_an_amount_sum_to_it_and_can_be_paid(total: int, currency: str, numbers: list[int]) -> None:
    whole = Span(NOVEMBER.start, NOVEMBER.end)
    amount = Money.of(total, currency)
    shares = [share(amount, part, whole) for part in parts_of_november(numbers)]
    assert sum(shares, Money.zero(currency)) == amount
    assert all(part == part.rounded() and part >= Money.zero(currency) for part in shares)


@given(st.integers(0, 10**12), cuts)
def test_the_shares_of_a_quantity_sum_to_it(total: int, numbers: list[int]) -> None:
    whole = Span(NOVEMBER.start, NOVEMBER.end)
    shares = [share_of_quantity(total, part, whole) for part in parts_of_november(numbers)]
    assert sum(shares) == total
    assert min(shares) >= 0


def test_a_month_with_a_clock_change_is_divided_by_its_real_length() -> None:
    october = month(date(2026, 10, 1), BERLIN)
    first_half = Span(october.start, october.start + timedelta(days=15))
    assert share(usd("745"), first_half, Span(october.start, october.end)) == usd(360)  # 360 of 745 hours.
