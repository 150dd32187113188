from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import tax
from billing.errors import TaxIsUnclear
from billing.models import TaxCategory
from billing.tax import Category, Supply, Treatment
from money.amount import Money, decimals

DAY = date(2026, 11, 30)
RATES: tax.Rates = {
    "DE": [(date(2007, 1, 1), Decimal(19)), (date(2020, 7, 1), Decimal(16)), (date(2021, 1, 1), Decimal(19))],
    "FR": [(date(2014, 1, 1), Decimal(20))],
    "CH": [(date(2024, 1, 1), Decimal("8.10"))],
}


def supply(seller: str = "DE", buyer: str = "DE", *, vat_id: bool = False, oss: bool = True, on: date = DAY) -> Supply:
    return Supply(seller, buyer, buyer_has_vat_id=vat_id, in_one_stop_shop=oss, on=on)


@pytest.mark.parametrize(
    ("given", "category", "rate"),
    [
        (supply(), Category.STANDARD, "19"),
        (supply(vat_id=True), Category.STANDARD, "19"),
        (supply(buyer="FR", vat_id=True), Category.REVERSE_CHARGE, "0"),
        (supply(buyer="FR"), Category.STANDARD, "20"),
        (supply(buyer="FR", oss=False), Category.STANDARD, "19"),
        (supply(buyer="US"), Category.OUT_OF_SCOPE, "0"),
        (supply(buyer="US", vat_id=True), Category.OUT_OF_SCOPE, "0"),
        (supply(buyer="CH", vat_id=True), Category.OUT_OF_SCOPE, "0"),
        (supply(buyer="MC"), Category.STANDARD, "20"),
        (supply("CH", "CH"), Category.STANDARD, "8.10"),
    ],
)
def test_where_seller_and_buyer_are_decides_the_tax(given: Supply, category: Category, rate: str) -> None:
    found = tax.by_rule(given, RATES)
    assert (found.category, found.rate_percent) == (category, Decimal(rate))
    assert bool(found.reason) == (category is not Category.STANDARD)


@pytest.mark.parametrize(
    ("on", "percent"), [("2020-06-30", 19), ("2020-07-01", 16), ("2020-12-31", 16), ("2021-01-01", 19)]
)
def test_a_rate_holds_from_its_first_day_on(on: str, percent: int) -> None:
    assert tax.by_rule(supply(on=date.fromisoformat(on)), RATES).rate_percent == percent


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (supply(on=date(2006, 12, 31)), "No standard rate of DE is known for 2006-12-31"),
        (supply(buyer="IT"), "No standard rate of IT is known"),
        (supply("US", "DE"), "No rule is known for what a seller in US sells to DE"),
    ],
)
def test_what_no_rule_decides_is_refused_and_never_free(given: Supply, reason: str) -> None:
    with pytest.raises(TaxIsUnclear, match=reason):
        tax.by_rule(given, RATES)


@pytest.mark.parametrize(
    ("rate", "note", "treatment"),
    [
        ("7", "", Treatment(Category.STANDARD, Decimal(7))),
        ("0", "", Treatment(Category.ZERO, Decimal(0))),
        ("0", "Because.", Treatment(Category.EXEMPT, Decimal(0), "Because.")),
    ],
)
def test_the_operators_word_goes_before_the_rules(rate: str, note: str, treatment: Treatment) -> None:
    assert tax.set_by_operator(Decimal(rate), note) == treatment


def test_tax_is_rounded_once_for_all_lines_of_a_rate_and_not_line_by_line() -> None:
    cents = [(Treatment(Category.STANDARD, Decimal(19)), Money.of("0.01", "EUR"))] * 100
    [found] = tax.sums(cents)
    assert (found.net, found.tax) == (Money.of("1.00", "EUR"), Money.of("0.19", "EUR"))


def test_reasons_of_one_category_are_said_once_each() -> None:
    lines = [(tax.exempt(reason), Money.of(1, "EUR")) for reason in ("First.", "Second.", "First.")]
    assert [found.reason for found in tax.sums(lines)] == ["First. Second."]


TREATMENTS = st.one_of(
    st.integers(1, 10_000).map(lambda hundredths: Treatment(Category.STANDARD, Decimal(hundredths).scaleb(-2))),
    st.sampled_from(
        [
            Treatment(Category.ZERO, Decimal(0)),
            tax.exempt("Because."),
            Treatment(Category.REVERSE_CHARGE, Decimal(0), tax.REVERSE_CHARGE),
            Treatment(Category.OUT_OF_SCOPE, Decimal(0), tax.OUTSIDE_THE_EU),
        ]
    ),
)
LINES = st.lists(st.tuples(TREATMENTS, st.integers(-(10**9), 10**9)), max_size=40)


@given(lines=LINES, currency=st.sampled_from(["EUR", "JPY", "KWD"]))
def test_nets_sum_to_the_net_and_each_tax_is_within_half_a_unit(
    lines: Sequence[tuple[Treatment, int]], currency: str
) -> None:
    step = 10 ** (12 - decimals(currency))
    amounts = [(treatment, Money(units * step, currency)) for treatment, units in lines]
    found = tax.sums(amounts)
    assert sum(of.net.pico for of in found) == sum(amount.pico for _, amount in amounts)
    assert len({(of.category, of.rate_percent) for of in found}) == len(found)
    for of in found:
        assert of.tax == of.tax.rounded()
        assert abs(of.tax.decimal * 100 - of.net.decimal * of.rate_percent) * 2 <= 100 * Decimal(step).scaleb(-12)
        assert of.net.decimal == sum(
            amount.decimal
            for treatment, amount in amounts
            if (treatment.category, treatment.rate_percent) == (of.category, of.rate_percent)
        )


def test_the_tables_know_the_same_categories() -> None:
    assert [category.value for category in Category] == list(TaxCategory.values)
