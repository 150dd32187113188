"""Terms, coupons and usage for tests of what months cost."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from billing.charges import Charge, LineKind
from billing.periods import month
from billing.rating import UnitPrice
from billing.terms import Coupon, Included, Terms
from money.amount import Money

BERLIN = "Europe/Berlin"
NOVEMBER = month(date(2026, 11, 1), BERLIN)
QUARTER = timedelta(minutes=15)
LONG_AGO = datetime(2025, 12, 31, 23, 0, tzinfo=UTC)  # The first of January in Berlin.


def usd(amount: Decimal | int | str) -> Money:
    return Money.of(amount, "USD")


def terms(**given: Any) -> Terms:
    """Terms that ask and give nothing but what is given."""
    nothing: dict[str, Any] = {
        "name": "Team",
        "fee": usd(0),
        "fee_months": 1,
        "included": (),
        "included_amount": usd(0),
        "discount_percent": Decimal(0),
        "minimum": usd(0),
        "maximum": None,
        "commitment": usd(0),
        "commitment_months": 1,
        "trial_days": 0,
    }
    return Terms(**{**nothing, **given})


def coupon(first_month: date = NOVEMBER.first_day, months: int | None = 1, **given: Any) -> Coupon:
    fields: dict[str, Any] = {"code": "LAUNCH", "name": "Launch", "percent": Decimal(0), "amount": usd(0), **given}
    return Coupon(first_month=first_month, months=months, **fields)


def usage(
    quantity: int, price: str = "1", at: datetime = NOVEMBER.start, unit: str = "output", offering: str = "m"
) -> Charge:
    """Usage of one quarter of an hour, priced in USD by the unit."""
    one = UnitPrice.of(price, "USD", 1)
    month_of = NOVEMBER.first_day
    end = at + QUARTER
    return Charge(
        LineKind.USAGE, month_of, 1, offering, "", "standard", unit, quantity, one, one.of_quantity(quantity), at, end
    )


def in_november(number: int) -> datetime:
    """The start of a quarter of an hour of November."""
    return NOVEMBER.start + number * QUARTER


quarters_of_november = st.integers(0, 30 * 96 - 1).map(in_november)
amounts = st.integers(0, 100_000).map(lambda cents: usd(Decimal(cents).scaleb(-2)))
percentages = st.integers(0, 10_000).map(lambda hundredths: Decimal(hundredths).scaleb(-2))
units = st.sampled_from(["output", "input_uncached"])


@st.composite
def any_terms(draw: st.DrawFn) -> Terms:
    minimum = draw(amounts)
    allowances = st.builds(Included, st.sampled_from(["", "m"]), units, st.integers(0, 1_000))
    return terms(
        name=draw(st.sampled_from(["Solo", "Team"])),
        fee=draw(amounts),
        fee_months=draw(st.sampled_from([1, 3, 12])),
        included=tuple(draw(st.lists(allowances, max_size=2))),
        included_amount=draw(amounts),
        discount_percent=draw(percentages),
        minimum=minimum,
        maximum=draw(st.none() | amounts.map(lambda more: minimum + more)),
        commitment=draw(amounts),
        commitment_months=draw(st.sampled_from([1, 3, 12])),
        trial_days=draw(st.sampled_from([0, 0, 7])),
    )


def timelines(starts: st.SearchStrategy[datetime]) -> st.SearchStrategy[list[tuple[datetime, Terms | None]]]:
    """Up to three agreements that begin at different instants, in their order."""
    changes = st.lists(st.tuples(starts, st.none() | any_terms()), max_size=3, unique_by=lambda change: change[0])
    return changes.map(lambda found: sorted(found, key=lambda change: change[0]))


coupons = st.builds(
    lambda is_percent, percent, amount, months, number: coupon(
        months=months,
        code=f"C{number}",
        name=f"Coupon {number}",
        **({"percent": percent} if is_percent else {"amount": amount}),
    ),
    st.booleans(),
    percentages,
    amounts,
    st.none() | st.integers(1, 3),
    st.integers(1, 1_000),
)
prices = st.integers(0, 10**12).map(lambda pico: f"{Decimal(pico).scaleb(-12):f}")
used = st.lists(
    st.builds(usage, st.integers(0, 10_000), prices, quarters_of_november, units, st.sampled_from(["m", "other"])),
    max_size=5,
)
