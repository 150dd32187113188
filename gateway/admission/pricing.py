"""What a request can cost at most, and what it did cost: by the prices and the function that bill it. Pure."""

from datetime import UTC, datetime
from typing import NamedTuple

from billing.rating import Tariff
from billing.windows import nano
from metering.usage import INPUT_UNITS, OUTPUT_UNITS, TOKEN_UNITS, Unit, Usage


class NoPrice(Exception):
    """Nobody agreed to a price for this usage: no price, no service."""


class Bound(NamedTuple):
    """The most that a request can draw: `fixed`, and `each` for every token that each of its answers may have."""

    fixed: int
    each: int

    def of(self, output_tokens: int) -> int:
        return self.fixed + self.each * output_tokens

    def affords(self, amount: int) -> int:
        """How long each answer may be for that."""
        return (amount - self.fixed) // self.each if self.each else 2**53


def tokens_bound(input_tokens_max: int, answers: int) -> Bound:
    return Bound(input_tokens_max, answers)


def money_bound(tariff: Tariff, at_us: int, offering: str, input_tokens_max: int, answers: int) -> Bound:
    """In 10^-9 of the currency, rounded up; every token at the dearest price that it can have. Raises NoPrice."""
    at = datetime.fromtimestamp(at_us / 1_000_000, UTC)
    dearest_input = _dearest(tariff, at, offering, INPUT_UNITS)
    dearest_output = _dearest(tariff, at, offering, OUTPUT_UNITS)
    request = tariff.price(at, offering, Unit.REQUEST)
    fixed = dearest_input * input_tokens_max + (0 if request is None else request.of_quantity(1).pico)
    return Bound(nano(fixed), nano(dearest_output * answers))


def cost(tariff: Tariff, at_us: int, offering: str, usage: Usage) -> int:
    """What billing asks for one request, in 10^-9 of the currency, rounded up. Raises NoPrice."""
    at = datetime.fromtimestamp(at_us / 1_000_000, UTC)
    request = tariff.price(at, offering, Unit.REQUEST)
    pico = 0 if request is None else request.of_quantity(1).pico
    for unit, quantity in usage.units().items():
        price = tariff.price(at, offering, unit)
        if price is not None:
            pico += price.of_quantity(quantity).pico
        elif quantity:
            raise NoPrice(f"{offering} has no price for {unit}.")
    return nano(pico)


def tokens(usage: Usage) -> int:
    return sum(quantity for unit, quantity in usage.units().items() if unit in TOKEN_UNITS)


def _dearest(tariff: Tariff, at: datetime, offering: str, units: tuple[Unit, ...]) -> int:
    """The highest price of one of these, in 10^-12."""
    prices = [price for unit in units if (price := tariff.price(at, offering, unit)) is not None]
    if not prices:
        raise NoPrice(f"{offering} has no price for {units[0]}.")
    return max(price.of_quantity(1).pico for price in prices)
