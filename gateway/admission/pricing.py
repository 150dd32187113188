"""What a request can cost at most, and what it did cost: by the prices and the function that bill it. Pure."""

from datetime import UTC, datetime
from typing import NamedTuple

from billing.rating import Prices, Tariff
from billing.windows import nano
from metering.usage import INPUT_UNITS, OUTPUT_UNITS, Unit, Usage
from providers.dialects.dialect import Call, Kind

TEMPLATE_TOKENS = 256  # Of a chat template besides messages: dates, a default system prompt, how to call tools.
TOOLS_FACTOR = 2  # Of the bytes of `tools`, besides themselves: a template may write each bracket on a line of its own.


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


def input_tokens_max(call: Call, context_tokens_max: int) -> int:
    """What a call can be in tokens, for the engine that reads it.

    A token is at least a byte of what the caller wrote, and what a template writes around a message is less than the
    message's own braces and names. What it writes around all of them has an allowance, and so have the blanks
    with which it sets tools apart. Nobody knows how many tokens an image or a file is: that may be the whole context.
    """
    if b"_url" in call.body or b"file_id" in call.body:
        return context_tokens_max
    tokens = len(call.body)
    if call.kind is Kind.CHAT:
        tokens += TEMPLATE_TOKENS + TOOLS_FACTOR * len(call.members.get("tools", b""))
    return min(tokens, context_tokens_max)


def tokens_bound(input_tokens_max: int, answers: int) -> Bound:
    return Bound(input_tokens_max, answers)


def money_bound(tariff: Tariff, at_us: int, offering: str, input_tokens_max: int, answers: int) -> Bound:
    """In 10^-9 of the currency, rounded up; every token at the dearest price that it can have. Raises NoPrice."""
    prices = _prices(tariff, at_us)
    dearest_input = _dearest(prices, offering, INPUT_UNITS)
    dearest_output = _dearest(prices, offering, OUTPUT_UNITS)
    request = prices.get((offering, Unit.REQUEST))
    fixed = dearest_input * input_tokens_max + (0 if request is None else request.pico)
    return Bound(nano(fixed), nano(dearest_output * answers))


def cost(tariff: Tariff, at_us: int, offering: str, usage: Usage) -> int:
    """What billing asks for one request, in 10^-9 of the currency, rounded up. Raises NoPrice."""
    prices = _prices(tariff, at_us)
    request = prices.get((offering, Unit.REQUEST))
    pico = 0 if request is None else request.pico
    for unit, quantity in usage.units().items():
        price = prices.get((offering, unit))
        if price is not None:
            pico += price.pico * quantity
        elif quantity:
            raise NoPrice(f"{offering} has no price for {unit}.")
    return nano(pico)


def tokens(usage: Usage) -> int:
    return sum(usage.units().values())


def _prices(tariff: Tariff, at_us: int) -> Prices:
    return tariff.prices(datetime.fromtimestamp(at_us / 1_000_000, UTC))


def _dearest(prices: Prices, offering: str, units: tuple[Unit, ...]) -> int:
    """The highest price of one of these, in 10^-12."""
    found = [price.pico for unit in units if (price := prices.get((offering, unit))) is not None]
    if not found:
        raise NoPrice(f"{offering} has no price for {units[0]}.")
    return max(found)
