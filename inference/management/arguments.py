"""Readers of command line arguments that refuse what makes no sense."""

from argparse import ArgumentTypeError
from decimal import Decimal, InvalidOperation

CONCURRENCY_MAX = 1000


def positive(given: str) -> int:
    if not given.isdecimal() or int(given) < 1:
        raise ArgumentTypeError(f"{given!r} is not a whole number above zero")
    return int(given)


def concurrency(given: str) -> int:
    if (wanted := positive(given)) > CONCURRENCY_MAX:
        raise ArgumentTypeError(f"at most {CONCURRENCY_MAX} requests can be open at once")
    return wanted


def factor(given: str) -> Decimal:
    """A speed-up: above zero and at most a million."""
    try:
        wanted = Decimal(given)
    except InvalidOperation:
        raise ArgumentTypeError(f"{given!r} is not a number") from None
    if not wanted.is_finite() or not 0 < wanted <= 1_000_000:
        raise ArgumentTypeError(f"{given} is out of bounds: give a number above 0 and at most 1000000")
    return wanted
