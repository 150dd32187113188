"""Prices of every kind, drawn small, so that tiers and packages begin within a test's quantities."""

from hypothesis import strategies as st

from billing.price_kinds import Flat, Graduated, Package, Price, Tiers, UnitPrice, Volume
from money.amount import Money


def prices_of_every_kind(currency: str) -> st.SearchStrategy[Price]:
    amounts = st.integers(0, 50_000).map(lambda pico: Money(pico, currency))
    tiers = st.lists(st.integers(1, 600), min_size=1, max_size=4, unique=True).flatmap(
        lambda steps: st.builds(
            lambda prices: Tiers.of([UnitPrice(price, 1) for price in prices], sorted(steps)),
            st.lists(amounts, min_size=len(steps) + 1, max_size=len(steps) + 1),
        )
    )
    return st.one_of(
        st.builds(UnitPrice, amounts, st.just(1)),
        st.builds(Graduated, tiers),
        st.builds(Volume, tiers),
        st.builds(Package, amounts, st.integers(1, 700)),
        st.builds(Flat, amounts),
    )
