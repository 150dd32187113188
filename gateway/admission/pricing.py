"""What a request can cost at most, before it runs and when it has ended: by the prices that bill it. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

from msgspec.structs import astuple

from billing.matching import ANY, met
from billing.price_kinds import Price
from billing.rating import Prices, Tariff
from billing.windows import nano
from metering.records import Closed
from metering.usage import INPUT_UNITS, OUTPUT_UNITS, REPORTED_UNITS, ServiceTier, Unit, Usage
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


class Graded(NamedTuple):
    """What units cost at most in answers of one grade, in 10^-12 of the currency."""

    request: int
    each: list[int | None]  # In the order of Usage's fields; None: without a price.
    stepped: list[tuple[int, Price]]  # Fields that cost more than `each` a unit: packages and flat amounts.


class Rates:
    """What one offering costs at most under one set of prices, ready to be multiplied.

    What a request really costs depends on what is used besides it in its month. No process knows that, and a budget
    counts the dearest that it can come to.
    """

    __slots__ = ("_graded", "_input", "_offering", "_output", "_prices", "_request", "_service_tier")

    def __init__(self, prices: Prices, offering: str, service_tier: str = ServiceTier.STANDARD) -> None:
        self._prices = prices
        self._offering = offering
        self._service_tier = service_tier
        self._input = _dearest(prices, offering, service_tier, INPUT_UNITS)  # None: nothing of it is priced.
        self._output = _dearest(prices, offering, service_tier, OUTPUT_UNITS)
        self._request = sum(_dearest(prices, offering, service_tier, (Unit.REQUEST,)) or (0, 0))
        self._graded: dict[str, Graded] = {}

    def bound(self, input_tokens_max: int, answers: int) -> Bound:
        """In 10^-9 of the currency, rounded up; every token at the dearest price that it can have. Raises NoPrice."""
        if self._input is None or self._output is None:
            raise NoPrice(f"{self._offering} has no price for its tokens.")
        fixed = self._input[0] + self._output[0] + self._request + self._input[1] * input_tokens_max
        return Bound(nano(fixed), nano(self._output[1] * answers))

    def cost(self, usage: Usage, grade: str = "") -> int:
        """What billing asks for one request at most, in 10^-9 of the currency, rounded up. Raises NoPrice."""
        rates = self._graded.get(grade) or self._of_grade(grade)
        pico = rates.request
        quantities = astuple(usage)
        for quantity, each in zip(quantities, rates.each, strict=True):
            if quantity:
                if each is None:
                    raise NoPrice(f"{self._offering} has no price for all of {usage.units()}.")
                pico += each * quantity
        for place, price in rates.stepped:
            pico += price.most(quantities[place] or 0)
        return nano(pico)

    def _of_grade(self, grade: str) -> Graded:
        found = [met(self._prices, self._offering, unit, grade, self._service_tier) for unit in REPORTED_UNITS]
        prices = [None if rate is None else rate[1] for rate in found]
        stepped = [(place, price) for place, price in enumerate(prices) if price is not None and price.dearest[0]]
        places = {place for place, _ in stepped}
        each = [0 if n in places else None if price is None else price.dearest[1] for n, price in enumerate(prices)]
        request = met(self._prices, self._offering, Unit.REQUEST, grade, self._service_tier)
        self._graded[grade] = Graded(0 if request is None else request[1].most(1), each, stepped)
        return self._graded[grade]


class Pricing:
    """A tenant's prices at a moment. Those in force are looked up once, and kept until they change."""

    __slots__ = ("_begins_us", "_ends_us", "_prices", "_rates", "_tariff")

    def __init__(self, tariff: Tariff) -> None:
        self._tariff = tariff
        self._begins_us = self._ends_us = 0  # From when and until when `_prices` hold.
        self._prices: Prices = {}
        self._rates: dict[tuple[str, str], Rates] = {}

    def at(self, at_us: int, offering: str, service_tier: str = ServiceTier.STANDARD) -> Rates:
        if not self._begins_us <= at_us < self._ends_us:
            self._turn_to(at_us)
        rates = self._rates.get((offering, service_tier))
        if rates is None:
            rates = self._rates[offering, service_tier] = Rates(self._prices, offering, service_tier)
        return rates

    def cost(self, closed: Closed) -> int:
        """What billing asks for an ending at most, in 10^-9 of the currency, rounded up. Raises NoPrice."""
        opened = closed.opened
        return self.at(opened.opened_at_us, opened.offering, opened.service_tier).cost(closed.usage, closed.grade)

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


def cost(tariff: Tariff, closed: Closed) -> int:
    """As `Rates.cost`, of an ending at any time. Raises NoPrice."""
    opened = closed.opened
    prices = tariff.prices(datetime.fromtimestamp(opened.opened_at_us / 1_000_000, UTC))
    return Rates(prices, opened.offering, opened.service_tier).cost(closed.usage, closed.grade)


def tokens(usage: Usage) -> int:
    total = 0
    for quantity in astuple(usage):
        if quantity is not None:
            total += quantity
    return total


def _dearest(prices: Prices, offering: str, service_tier: str, units: tuple[Unit, ...]) -> tuple[int, int] | None:
    """`(fixed, each)`: what any mixture of these costs at most, in any grade; None where none of them has a price."""
    fixed: dict[str, int] = {}
    each = 0
    for match, price in prices.items():
        if match.offering == offering and match.unit in units and match.service_tier in (service_tier, ANY):
            fixed[match.unit] = max(price.dearest[0], fixed.get(match.unit, 0))
            each = max(price.dearest[1], each)
    return (sum(fixed.values()), each) if fixed else None
