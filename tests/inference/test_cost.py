from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.cost import Figures, device_hour, pool_hour, utilisation
from money.amount import PICO

# An owned H100 with its share of server and network; the worked example of docs/architecture.
BOUGHT = Figures(
    rent_per_hour=Decimal(0),
    capex=Decimal(32_000),
    life_months=48,
    residual_percent=Decimal(10),
    capital_percent_per_year=Decimal(10),
    availability_percent=Decimal(100),
    power_idle_kw=Decimal("0.3"),
    power_load_kw=Decimal("1.275"),
    pue=Decimal("1.25"),
    electricity_per_kwh=Decimal("0.087"),
    colocation_per_kw_month=Decimal(130),
    opex_per_year=Decimal(960),
)
RENTED = Figures(
    rent_per_hour=Decimal("2.35"),
    capex=Decimal(0),
    life_months=48,
    residual_percent=Decimal(0),
    capital_percent_per_year=Decimal(0),
    availability_percent=Decimal(100),
    power_idle_kw=Decimal(0),
    power_load_kw=Decimal(0),
    pue=Decimal(1),
    electricity_per_kwh=Decimal(0),
    colocation_per_kw_month=Decimal(0),
    opex_per_year=Decimal(0),
)


def figures(low: str, high: str, places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(Decimal(low), Decimal(high), places=places)


any_figures = st.builds(
    Figures,
    rent_per_hour=figures("0", "100", 6),
    capex=figures("0", "1000000", 2),
    life_months=st.integers(1, 600),
    residual_percent=figures("0", "100", 2),
    capital_percent_per_year=figures("0", "100", 2),
    availability_percent=figures("1", "100", 2),
    power_idle_kw=figures("0", "1", 4),
    power_load_kw=figures("1", "10", 4),
    pue=figures("1", "3", 3),
    electricity_per_kwh=figures("0", "1", 6),
    colocation_per_kw_month=figures("0", "1000", 4),
    opex_per_year=figures("0", "100000", 2),
)
shares = figures("0", "1", 6)


def test_the_worked_example_of_an_owned_device_holds_to_the_printed_digits() -> None:
    hour = device_hour(BOUGHT, Decimal(1))
    parts = [f"{part:.3f}" for part in (hour.capital, hour.energy, hour.colocation, hour.opex)]
    assert parts == ["1.037", "0.139", "0.227", "0.110"]
    assert f"{hour.total:.2f}" == "1.51"


def test_a_rented_device_costs_its_rent() -> None:
    assert device_hour(RENTED, Decimal(1)).total == Decimal("2.35")


def test_an_idle_device_draws_idle_power() -> None:
    assert device_hour(BOUGHT, Decimal(0)).energy == Decimal("0.3") * Decimal("1.25") * Decimal("0.087")


def test_half_the_use_draws_half_the_way_to_full_power() -> None:
    idle, half, full = (device_hour(BOUGHT, Decimal(at)).energy for at in ("0", "0.5", "1"))
    assert half == (idle + full) / 2


def test_without_interest_the_price_is_spread_evenly() -> None:
    free = replace(BOUGHT, capital_percent_per_year=Decimal(0), residual_percent=Decimal(25), life_months=10)
    assert device_hour(free, Decimal(0)).capital == pytest.approx(Decimal(24_000) / 10 / 730, rel=Decimal("1e-25"))


def test_a_device_that_works_half_the_time_costs_double_when_it_works() -> None:
    half = device_hour(replace(BOUGHT, availability_percent=Decimal(50)), Decimal(1)).capital
    assert half == pytest.approx(2 * device_hour(BOUGHT, Decimal(1)).capital, rel=Decimal("1e-25"))


def test_a_device_that_keeps_its_price_costs_its_interest() -> None:
    kept = device_hour(replace(BOUGHT, residual_percent=Decimal(100)), Decimal(1)).capital
    assert kept * 730 == pytest.approx(Decimal(32_000) / 120, rel=Decimal("1e-30"))


@given(any_figures, shares, shares)
def test_more_use_never_costs_less(given_figures: Figures, one: Decimal, other: Decimal) -> None:
    low, high = sorted((one, other))
    assert 0 <= device_hour(given_figures, low).total <= device_hour(given_figures, high).total


@given(any_figures, shares, st.integers(1, 10_000))
def test_a_pool_costs_its_devices_to_the_last_unit(given_figures: Figures, share: Decimal, devices: int) -> None:
    hour = device_hour(given_figures, share)
    assert abs(Decimal(pool_hour(hour, devices)) / PICO - hour.total * devices) <= Decimal("0.500001") / PICO


def test_the_hour_of_eight_rented_devices_is_exact() -> None:
    assert pool_hour(device_hour(RENTED, Decimal(0)), 8) == 18_800_000_000_000


@given(st.integers(0, 10**18), st.integers(0, 10**18))
def test_utilisation_is_a_share(used: int, available: int) -> None:
    assert 0 <= utilisation(used, available) <= 1


def test_utilisation_never_exceeds_one_nor_divides_by_zero() -> None:
    assert utilisation(5, 4) == 1
    assert utilisation(1, 4) == Decimal("0.25")
    assert utilisation(5, 0) == 0
