"""What one device costs for one hour: capital or rent, energy, colocation and operation.

The formulas, for capex C, residual S, monthly cost of capital r and n months of life:

    annuity     A = (C - S / (1 + r)^n) * r / (1 - (1 + r)^-n)         and (C - S) / n where r is zero
    capital     A / (730 * availability)                               of bought hardware
    energy      (P_idle + (P_load - P_idle) * utilisation) * PUE * price of a kWh
    colocation  price of a kW for a month * P_load / 730
    opex        price of a year / 8760

Figures are Decimal and carried with 50 digits; money becomes whole units of 10^-12 once, for the whole pool. Pure.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext

from money.amount import PICO

HOURS_PER_MONTH = 730
HOURS_PER_YEAR = 8760
DIGITS = 50


@dataclass(frozen=True)
class Figures:
    """The figures of one device, in one currency. Either `rent_per_hour` or `capex` is zero; percents are 0 to 100."""

    rent_per_hour: Decimal
    capex: Decimal
    life_months: int
    residual_percent: Decimal
    capital_percent_per_year: Decimal
    availability_percent: Decimal
    power_idle_kw: Decimal
    power_load_kw: Decimal
    pue: Decimal
    electricity_per_kwh: Decimal
    colocation_per_kw_month: Decimal
    opex_per_year: Decimal


@dataclass(frozen=True)
class DeviceHour:
    """The cost of one device for one hour, by where it comes from, in units of the currency."""

    rent: Decimal
    capital: Decimal
    energy: Decimal
    colocation: Decimal
    opex: Decimal

    @property
    def total(self) -> Decimal:
        with localcontext(prec=DIGITS):
            return self.rent + self.capital + self.energy + self.colocation + self.opex


def device_hour(figures: Figures, utilisation: Decimal) -> DeviceHour:
    """The cost of a device-hour at a utilisation from 0 to 1."""
    with localcontext(prec=DIGITS):
        power_kw = figures.power_idle_kw + (figures.power_load_kw - figures.power_idle_kw) * utilisation
        return DeviceHour(
            rent=figures.rent_per_hour,
            capital=_annuity(figures) / (HOURS_PER_MONTH * figures.availability_percent / 100),
            energy=power_kw * figures.pue * figures.electricity_per_kwh,
            colocation=figures.colocation_per_kw_month * figures.power_load_kw / HOURS_PER_MONTH,
            opex=figures.opex_per_year / HOURS_PER_YEAR,
        )


def pool_hour(hour: DeviceHour, devices: int) -> int:
    """The cost of so many devices for an hour, in 10^-12 of the currency's unit: the one rounding of hardware cost."""
    with localcontext(prec=DIGITS):
        return int((hour.total * devices * PICO).to_integral_value(ROUND_HALF_UP))


def utilisation(used_ns: int, available_ns: int) -> Decimal:
    """The share of the available device time that was used, from 0 to 1."""
    if available_ns <= 0:
        return Decimal(0)
    with localcontext(prec=DIGITS):
        return min(Decimal(used_ns) / Decimal(available_ns), Decimal(1))


def _annuity(figures: Figures) -> Decimal:
    """What the device's price costs a month over its life, with interest, less what it sells for at the end."""
    residual = figures.capex * figures.residual_percent / 100
    monthly_rate = figures.capital_percent_per_year / 100 / 12
    if monthly_rate == 0:
        return (figures.capex - residual) / figures.life_months
    growth = (1 + monthly_rate) ** figures.life_months
    return (figures.capex - residual / growth) * monthly_rate / (1 - 1 / growth)
