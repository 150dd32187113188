"""Numbers and dates as they are printed: babel's formats for English. Pure."""

from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal

from billing.rating import UnitPrice
from metering.usage import TOKEN_UNITS
from money.amount import decimals

LOCALE = Locale("en")
PRICE_PATTERN = "#,##0.00##########"  # As many decimals as a price has, and two at least.
TOKENS_OF_A_PRICE = 1_000_000
TO = "\u2013"  # The dash that stands between two days.


def quantity(number: int) -> str:
    """18059974 as 18,059,974."""
    return format_decimal(number, "#,##0", locale=LOCALE)


def amount(value: Decimal, currency: str) -> str:
    """An amount that has been rounded already, with the currency's decimals: 1,234.50, or 1,235 for yen."""
    places = decimals(currency)
    pattern = "#,##0" + ("." + "0" * places if places else "")
    return format_decimal(value, pattern, locale=LOCALE, decimal_quantization=False)


def exact(value: Decimal) -> str:
    """An amount of the books, with as many decimals as it has, and two at least."""
    return format_decimal(value, PRICE_PATTERN, locale=LOCALE, decimal_quantization=False)


def unit_price(unit_amount: Decimal, currency: str, per: int, unit: str) -> tuple[str, str]:
    """The price as people compare it, tokens by the million, and what it is for; exact, whatever `per` is kept."""
    shown_per = TOKENS_OF_A_PRICE if unit in TOKEN_UNITS else 1
    shown = UnitPrice.of(unit_amount, currency, per).of_quantity(shown_per).decimal
    price = format_decimal(shown, PRICE_PATTERN, locale=LOCALE, decimal_quantization=False)
    return price, "per 1M tokens" if unit in TOKEN_UNITS else f"per {unit}"


def day(value: date) -> str:
    return format_date(value, "d MMMM yyyy", locale=LOCALE)


def month(first_day: date) -> str:
    return format_date(first_day, "MMMM yyyy", locale=LOCALE)


def days(first: date, last: date) -> str:
    """A range of days, saying month and year once where they are the same: 1-30 November 2026."""
    if first == last:
        return day(first)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} {TO} {day(last)}"
    if first.year == last.year:
        return f"{format_date(first, 'd MMMM', locale=LOCALE)} {TO} {day(last)}"
    return f"{day(first)} {TO} {day(last)}"


def moment(at: datetime, time_zone: str) -> str:
    """An instant on the clock of a time zone, which is named: 23 November 2026, 16:05 (Europe/Berlin)."""
    clock = format_datetime(at, "d MMMM yyyy, HH:mm", tzinfo=ZoneInfo(time_zone), locale=LOCALE)
    return f"{clock} ({time_zone})"


def country(code: str) -> str:
    return str(LOCALE.territories.get(code, code))
