"""What a request can cost at most, and what it did cost: by the prices and the function that bill it. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

from msgspec.structs import astuple

from billing.rating import Prices, Tariff
from billing.windows import nano
from metering.usage import INPUT_UNITS, OUTPUT_UNITS, REPORTED_UNITS, Unit, Usage
from providers.dialects.dialect import Call, Kind

TEMPLATE_TOKENS = 256  # Of a chat template besides messages: dates, a default system prompt, how to call tools.
TOOLS_FACTOR = 2  # Of the bytes of `tools`, besides themselves: a template may write each bracket on a line of its own.

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NEVER_US = 2**63  # Later than any time.

T = TypeVar("T")


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


class Rates:
    """What one offering costs under one set of prices, in 10^-12 of the currency, ready to be multiplied."""

    __slots__ = ("_of_units", "_offering", "_request", "input_dearest", "output_dearest")

    def __init__(self, prices: Prices, offering: str) -> None:
        found = [prices.get((offering, unit)) for unit in REPORTED_UNITS]
        request = prices.get((offering, Unit.REQUEST))
        self._offering = offering
        self._of_units = [None if price is None else price.pico for price in found]  # In the order of Usage's fields.
        self._request = 0 if request is None else request.pico
        self.input_dearest = _dearest(prices, offering, INPUT_UNITS)  # None: nothing of it is priced.
        self.output_dearest = _dearest(prices, offering, OUTPUT_UNITS)

    def bound(self, input_tokens_max: int, answers: int) -> Bound:
        """In 10^-9 of the currency, rounded up; every token at the dearest price that it can have. Raises NoPrice."""
        if self.input_dearest is None or self.output_dearest is None:
            raise NoPrice(f"{self._offering} has no price for its tokens.")
        return Bound(nano(self.input_dearest * input_tokens_max + self._request), nano(self.output_dearest * answers))

    def cost(self, usage: Usage) -> int:
        """What billing asks for one request, in 10^-9 of the currency, rounded up. Raises NoPrice."""
        pico = self._request
        for quantity, price in zip(astuple(usage), self._of_units, strict=True):
            if quantity:
                if price is None:
                    raise NoPrice(f"{self._offering} has no price for all of {usage.units()}.")
                pico += price * quantity
        return nano(pico)


class Pricing:
    """A tenant's prices at a moment. Those in force are looked up once, and kept until they change."""

    __slots__ = ("_begins_us", "_ends_us", "_prices", "_rates", "_tariff")

    def __init__(self, tariff: Tariff) -> None:
        self._tariff = tariff
        self._begins_us = self._ends_us = 0  # From when and until when `_prices` hold.
        self._prices: Prices = {}
        self._rates: dict[str, Rates] = {}

    def at(self, at_us: int, offering: str) -> Rates:
        if not self._begins_us <= at_us < self._ends_us:
            self._turn_to(at_us)
        rates = self._rates.get(offering)
        if rates is None:
            rates = self._rates[offering] = Rates(self._prices, offering)
        return rates

    def _turn_to(self, at_us: int) -> None:
        book, plan_begins_us, plan_ends_us = holding(self._tariff.plans.entries, at_us)
        versions = () if book is None else self._tariff.books[book].entries
        prices, version_begins_us, version_ends_us = holding(versions, at_us)
        self._begins_us = max(plan_begins_us, version_begins_us)
        self._ends_us = min(plan_ends_us, version_ends_us)
        self._prices = {} if prices is None else prices
        self._rates = {}


def holding(entries: Sequence[tuple[datetime, T]], at_us: int) -> tuple[T | None, int, int]:
    """The value that holds at a moment, from when it does and until when, in microseconds since the epoch."""
    value: T | None = None
    begins_us = -NEVER_US
    for begins, each in entries:
        next_us = (begins - EPOCH) // MICROSECOND
        if next_us > at_us:
            return value, begins_us, next_us
        value, begins_us = each, next_us
    return value, begins_us, NEVER_US


def cost(tariff: Tariff, at_us: int, offering: str, usage: Usage) -> int:
    """As `Rates.cost`, at any moment. Raises NoPrice."""
    return Rates(tariff.prices(datetime.fromtimestamp(at_us / 1_000_000, UTC)), offering).cost(usage)


def tokens(usage: Usage) -> int:
    total = 0
    for quantity in astuple(usage):
        if quantity is not None:
            total += quantity
    return total


def _dearest(prices: Prices, offering: str, units: tuple[Unit, ...]) -> int | None:
    """The highest price of one of these, in 10^-12; None where none has one."""
    return max((price.pico for unit in units if (price := prices.get((offering, unit))) is not None), default=None)
