"""Money as an exact integer of 10^-12 of the currency's unit, with its currency.

A token costs little: USD 0.0375 per million tokens is 37,500 of these units a token, and nothing coarser can hold
it. Amounts stay exact until a line is printed, where they are rounded once, by `Money.rounded`.
"""

from dataclasses import dataclass
from decimal import Context, Decimal
from functools import lru_cache

from babel.core import get_global
from babel.numbers import get_currency_precision

from money.errors import CurrencyMismatch, Inexact, UnknownCurrency

PICO = 10**12
_PICO_DIGITS = 12

# Decimal's own context rounds to 28 digits without a word; NUMERIC(38,12) has more, and a product has more still.
_EXACT = Context(prec=200)


@lru_cache(maxsize=512)
def decimals(currency: str) -> int:
    """How many decimals amounts of this currency are printed with: EUR 2, JPY 0, KWD 3.

    Source: CLDR, as babel ships it. It follows ISO 4217 except where a minor unit no longer circulates.
    """
    if currency not in get_global("all_currencies"):
        raise UnknownCurrency(f"{currency!r} is not a code of ISO 4217. Give three capital letters such as EUR.")
    return get_currency_precision(currency)


@dataclass(frozen=True, order=False, slots=True)
class Money:
    """An amount in one currency, `pico` being 10^-12 of its unit. Two currencies never mix."""

    pico: int
    currency: str

    @classmethod
    def of(cls, amount: Decimal | int | str, currency: str) -> "Money":
        """The amount, in units of the currency. Floats are refused: 0.1 as a float is not a tenth."""
        if isinstance(amount, bool) or not isinstance(amount, (Decimal, int, str)):
            raise TypeError(f"Money is made from Decimal, int or str, not from {type(amount).__name__}.")
        decimals(currency)
        exact = Decimal(amount)
        if not exact.is_finite():
            raise Inexact(f"{amount} is not an amount of money.")
        scaled = exact.scaleb(_PICO_DIGITS, _EXACT)
        if scaled != int(scaled):
            raise Inexact(f"{amount} {currency} is finer than 10^-12 of a unit and cannot be kept exactly.")
        return cls(int(scaled), currency)

    @classmethod
    def zero(cls, currency: str) -> "Money":
        return cls.of(0, currency)

    @property
    def decimal(self) -> Decimal:
        """Exactly this amount in units of the currency, with twelve decimals."""
        return Decimal(self.pico).scaleb(-_PICO_DIGITS, _EXACT)

    def rounded(self) -> "Money":
        """The nearest amount that can be paid. A half goes away from zero, so that a credit mirrors its charge."""
        step = 10 ** (_PICO_DIGITS - decimals(self.currency))
        return Money(rounded_quotient(self.pico, step) * step, self.currency)

    def __add__(self, other: "Money") -> "Money":
        return Money(self.pico + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.pico - self._same(other), self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.pico, self.currency)

    def __mul__(self, times: int) -> "Money":
        if isinstance(times, bool) or not isinstance(times, int):
            raise TypeError(f"Money is multiplied by a whole number, not by {type(times).__name__}.")
        return Money(self.pico * times, self.currency)

    __rmul__ = __mul__

    def __lt__(self, other: "Money") -> bool:
        return self.pico < self._same(other)

    def __le__(self, other: "Money") -> bool:
        return self.pico <= self._same(other)

    def __gt__(self, other: "Money") -> bool:
        return self.pico > self._same(other)

    def __ge__(self, other: "Money") -> bool:
        return self.pico >= self._same(other)

    def __bool__(self) -> bool:
        return self.pico != 0

    def __str__(self) -> str:
        return f"{self.decimal.normalize(_EXACT):f} {self.currency}"

    def _same(self, other: "Money") -> int:
        if not isinstance(other, Money):
            raise TypeError(f"Money is compared and summed with Money, not with {type(other).__name__}.")
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{self} and {other} are in two currencies. Convert one of them first.")
        return other.pico


def rounded_quotient(dividend: int, divisor: int) -> int:
    """dividend / divisor to the nearest integer, a half away from zero: how every rounding of money is done here."""
    magnitude = (2 * abs(dividend) + divisor) // (2 * divisor)
    return magnitude if dividend >= 0 else -magnitude
