"""Readers of command line arguments that refuse what makes no sense."""

from argparse import ArgumentTypeError
from decimal import Decimal, InvalidOperation
from urllib.parse import urlsplit

PORT_MAX = 65_535
CONCURRENCY_MAX = 1000


def positive(given: str) -> int:
    if not given.isdecimal() or int(given) < 1:
        raise ArgumentTypeError(f"{given!r} is not a whole number above zero")
    return int(given)


def concurrency(given: str) -> int:
    if (wanted := positive(given)) > CONCURRENCY_MAX:
        raise ArgumentTypeError(f"at most {CONCURRENCY_MAX} requests can be open at once")
    return wanted


def web_address(given: str) -> str:
    """Scheme, host and port, without a slash at the end."""
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ArgumentTypeError(f"{given!r} is not an address such as http://127.0.0.1:8000")
    return given.rstrip("/")


def port(given: str) -> int:
    """A port to listen on; 0 takes a free one."""
    if not given.isdecimal() or int(given) > PORT_MAX:
        raise ArgumentTypeError(f"{given!r} is not a port: give a whole number from 0 to {PORT_MAX}")
    return int(given)


def factor(given: str) -> Decimal:
    """A speed-up: above zero and at most a million."""
    try:
        wanted = Decimal(given)
    except InvalidOperation:
        raise ArgumentTypeError(f"{given!r} is not a number") from None
    if not wanted.is_finite() or not 0 < wanted <= 1_000_000:
        raise ArgumentTypeError(f"{given} is out of bounds: give a number above 0 and at most 1000000")
    return wanted
