"""Usage meets one rate or none, and two rates for the same usage are found out."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.matching import ANY, Match, gaps, met, overlapping, qualified

GRADES, TIERS = ["", "grounded", "screened"], ["standard", "batch", "flex", "priority"]
matches = st.builds(
    Match,
    st.sampled_from(["m", "other"]),
    st.sampled_from(["output", "request"]),
    st.sampled_from([ANY, *GRADES[:2]]),
    st.sampled_from([ANY, *TIERS[:2]]),
)


@given(st.lists(matches, max_size=8))
def test_rates_overlap_where_and_only_where_some_usage_would_meet_two(rates: list[Match]) -> None:
    usage = product(["m", "other"], ["output", "request"], GRADES, TIERS)
    met_twice = any(
        sum(rate[:2] == (offering, unit) and rate.grade in (grade, ANY) and rate.service_tier in (tier, ANY)
            for rate in rates) > 1
        for offering, unit, grade, tier in usage
    )  # fmt: skip
    assert bool(overlapping(rates)) == met_twice


@given(st.lists(matches, max_size=8))
def test_usage_meets_the_one_rate_that_is_for_it(rates: list[Match]) -> None:
    apart: dict[Match, int] = {}
    for place, match in enumerate(rates):
        if not overlapping([*apart, match]):
            apart[match] = place
    for offering, unit, grade, tier in product(["m"], ["output"], GRADES, TIERS):
        usage = Match(offering, unit, grade, tier)
        wanted = [(match, place) for match, place in apart.items() if match.overlaps(usage)]
        assert met(apart, *usage) == (wanted[0] if wanted else None)


@pytest.mark.parametrize(
    ("grade", "tier", "text"),
    [("", "standard", "m"), ("grounded", "standard", "m (grounded)"), ("grounded", "batch", "m (grounded, batch)")],
)
def test_what_is_not_the_usual_is_named(grade: str, tier: str, text: str) -> None:
    assert qualified("m", grade, tier) == text


def test_a_gap_is_where_a_part_of_an_offering_has_a_price_and_the_rest_has_none() -> None:
    rates = [
        Match("m", "input", ANY, ANY),
        Match("m", "output", "", "standard"),
        Match("m", "output", "grounded", ANY),
        Match("m", "output", "", "batch"),
        Match("m", "request", ANY, ANY),
        Match("n", "request"),
    ]
    assert [str(gap) for gap in gaps(rates, ["input", "output"])] == [
        "m lacks output (no grade, flex)",
        "m lacks output (no grade, priority)",
        *(f"m lacks output (any grade, {tier})" for tier in TIERS),
        "n lacks input, output (any grade, standard)",
    ]


def test_requests_with_a_price_in_every_tier_sell_no_tier_by_themselves() -> None:
    assert gaps([Match("m", "output"), Match("m", "request", ANY, ANY)], ["output"]) == []
