"""Who pays for what: by priority, expiry and age; what it may, until it expires, and never more than it has."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from billing.wallet_draws import Credit, Draw, Due, by_time, draws, netted, with_tax
from money.amount import Money

START = datetime(2026, 11, 1, tzinfo=UTC)
DAYS = st.integers(0, 40).map(lambda days: START + timedelta(days=days))
OFFERINGS = ("llama", "qwen", "mistral")
CENT = 10**10


def usd(cents: int) -> Money:
    return Money(cents * CENT, "USD")


def credit(
    number: int, cents: int, priority: int = 0, days: int | None = None, *offerings: str, age: int = 0
) -> Credit:
    expires_at = None if days is None else START + timedelta(days=days)
    return Credit(number, usd(cents), priority, expires_at, START - timedelta(days=age), frozenset(offerings))


def due(place: int, cents: int, offering: str = "llama", day: int = 0, rate: int = 1900) -> Due:
    return Due(place, offering, START + timedelta(days=day), usd(cents), "S", rate)


def shown(found: list[Draw]) -> list[tuple[int, int, int]]:
    return [(draw.credit_id, draw.due.place, draw.amount.pico // CENT) for draw in found]


CREDITS = st.lists(
    st.builds(
        Credit,
        id=st.integers(1, 10**6),
        left=st.integers(0, 2000).map(usd),
        priority=st.integers(0, 2),
        expires_at=st.none() | DAYS,
        created_at=DAYS,
        offerings=st.frozensets(st.sampled_from(OFFERINGS), max_size=2),
    ),
    max_size=6,
    unique_by=lambda credit: credit.id,
)
RATES = st.sampled_from([0, 700, 1900])


def dues(cents: st.SearchStrategy[int]) -> st.SearchStrategy[list[Due]]:
    one = st.builds(
        Due,
        place=st.just(0),
        offering=st.sampled_from(["", *OFFERINGS]),
        at=DAYS,
        amount=cents.map(usd),
        category=st.sampled_from(["S", "Z"]),
        rate_percent_100=RATES,
    )
    numbered = st.lists(one, max_size=8)
    return numbered.map(lambda found: [Due(place, *_rest(due)) for place, due in enumerate(found)])


def _rest(due: Due) -> tuple[str, datetime, Money, str, int]:
    return due.offering, due.at, due.amount, due.category, due.rate_percent_100


def total(amounts: list[Money]) -> Money:
    return sum(amounts, usd(0))


def test_a_lower_priority_number_pays_first_then_what_expires_first_then_the_oldest() -> None:
    wallet = [
        credit(1, 10, 1, 5),
        credit(2, 10, 0, None, age=9),
        credit(3, 10, 0, 20, age=1),
        credit(4, 10, 0, 20, age=2),
        credit(5, 10, 0, None),
    ]
    assert shown(draws(wallet, [due(0, 45)])) == [(4, 0, 10), (3, 0, 10), (2, 0, 10), (5, 0, 10), (1, 0, 5)]


def test_a_restricted_credit_pays_its_offerings_only_and_no_fee() -> None:
    wallet = [credit(1, 100, 0, None, "qwen"), credit(2, 100)]
    asked = [due(0, 30, "llama"), due(1, 30, "qwen"), due(2, 30, "")]
    assert shown(draws(wallet, asked)) == [(1, 1, 30), (2, 0, 30), (2, 2, 30)]


def test_a_credit_pays_what_was_used_before_it_expires_and_nothing_from_that_instant_on() -> None:
    assert shown(draws([credit(1, 100, 0, 10)], [due(0, 7, day=9), due(1, 7, day=10)])) == [(1, 0, 7)]


def test_the_earliest_usage_is_paid_first() -> None:
    assert shown(draws([credit(1, 10)], [due(0, 8, day=5), due(1, 8, day=2)])) == [(1, 1, 8), (1, 0, 2)]


@given(CREDITS, dues(st.integers(0, 1500)))
def test_no_credit_and_no_line_gives_more_than_it_has_and_no_credit_idles_beside_what_it_could_pay(
    wallet: list[Credit], asked: list[Due]
) -> None:
    found = draws(wallet, asked)
    by_id = {one.id: one for one in wallet}
    for draw in found:
        assert draw.amount.pico > 0
        assert by_id[draw.credit_id].pays_for(draw.due)
        assert asked[draw.due.place] == draw.due
    spent = {one.id: total([draw.amount for draw in found if draw.credit_id == one.id]) for one in wallet}
    paid = {one.place: total([draw.amount for draw in found if draw.due.place == one.place]) for one in asked}
    assert all(spent[one.id] <= one.left for one in wallet)
    assert all(paid[one.place] <= one.amount for one in asked)
    for one in wallet:
        for wanted in asked:
            if one.pays_for(wanted):
                assert spent[one.id] == one.left or paid[wanted.place] == wanted.amount


@given(CREDITS, dues(st.integers(0, 1500)))
def test_a_later_credit_pays_for_a_line_only_when_all_before_it_that_could_are_used_up(
    wallet: list[Credit], asked: list[Due]
) -> None:
    found = draws(wallet, asked)
    for later in found:
        for before in wallet:
            if before.turn < {one.id: one for one in wallet}[later.credit_id].turn and before.pays_for(later.due):
                assert total([draw.amount for draw in found if draw.credit_id == before.id]) == before.left


@given(CREDITS, dues(st.integers(0, 1500)), st.randoms(use_true_random=False))
def test_the_order_in_which_credits_are_read_makes_no_difference(
    wallet: list[Credit], asked: list[Due], chance: object
) -> None:
    shuffled = list(wallet)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]  # A random.Random, which hypothesis does not name.
    assert draws(shuffled, asked) == draws(wallet, asked)


@given(dues(st.integers(-1500, 1500)))
def test_amounts_below_zero_are_taken_off_and_the_sum_stays(asked: list[Due]) -> None:
    left = netted(asked)
    assert all(one.amount.pico > 0 for one in left)
    assert total([one.amount for one in left]) == max(usd(0), total([one.amount for one in asked]))
    assert all(one.amount <= asked[one.place].amount for one in left)


def test_a_discount_takes_from_its_own_offering_first_and_from_the_latest() -> None:
    asked = [due(0, 50, "llama", 1), due(1, 50, "llama", 8), due(2, 50, "qwen", 9), due(3, -70, "llama", 0)]
    assert [(one.place, one.amount) for one in netted(asked)] == [(0, usd(30)), (2, usd(50))]


@given(dues(st.integers(1, 1500)), st.integers(-50, 20_000))
def test_shares_of_the_gross_amount_sum_to_it(asked: list[Due], cents: int) -> None:
    shares = with_tax(asked, usd(cents))
    assert total([one.amount for one in shares]) == (usd(max(0, cents)) if asked else usd(0))
    assert all(one.amount.pico % CENT == 0 for one in shares)


def test_what_is_taxed_higher_has_the_larger_share() -> None:
    assert [one.amount for one in with_tax([due(0, 100, rate=1900), due(1, 100, rate=0)], usd(219))] == [
        usd(119),
        usd(100),
    ]


@given(st.integers(0, 5000), st.lists(st.integers(0, 1000), min_size=1, max_size=4))
def test_parts_by_time_sum_to_the_line_and_begin_at_its_boundaries(cents: int, quantities: list[int]) -> None:
    boundaries = [START + timedelta(days=day + 1) for day in range(len(quantities) - 1)]
    before = [sum(quantities[: place + 1]) for place in range(len(boundaries))]
    parts = by_time(due(0, cents), boundaries, before, sum(quantities))
    assert total([part.amount for part in parts]) == usd(cents)
    if sum(quantities):
        assert [part.at for part in parts] == sorted({part.at for part in parts})
        for part in parts:
            place = 0 if part.at == START else boundaries.index(part.at) + 1
            exact = cents * quantities[place]
            assert abs(part.amount.pico // CENT * sum(quantities) - exact) <= sum(quantities)


def test_a_quantity_that_went_down_belongs_to_the_first_instant_whole() -> None:
    assert by_time(due(0, 9), [START + timedelta(days=3)], [12], 10) == [due(0, 9)]
    assert by_time(due(0, 9), [START + timedelta(days=3)], [0], 0) == [due(0, 9)]
