"""Why an amount was refused.

MoneyError
├── CurrencyMismatch
├── UnknownCurrency
├── Inexact
└── NothingToSplitBy
"""


class MoneyError(Exception):
    """An amount of money cannot be worked out."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class CurrencyMismatch(MoneyError):
    """Amounts in two currencies were mixed. Convert one of them first, at a rate that somebody agreed to."""


class UnknownCurrency(MoneyError):
    """The currency is not a code of ISO 4217. Give three capital letters such as EUR."""


class Inexact(MoneyError):
    """The amount is finer than 10^-12 of the currency's unit and cannot be kept exactly."""


class NothingToSplitBy(MoneyError):
    """A total cannot be split: there are no weights, they are all zero, or one is negative."""
