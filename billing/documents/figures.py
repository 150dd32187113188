"""Numbers and dates as they are printed, by language: babel's formats. Pure.

The functions of this module's own name are the English ones, which screens show.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_skeleton, format_time
from babel.numbers import format_decimal

from billing.documents.languages import supported, words_of
from billing.rating import UnitPrice
from metering.usage import TOKEN_UNITS
from money.amount import decimals

PRICE_PATTERN = "#,##0.00##########"  # As many decimals as a price has, and two at least.
TOKENS_OF_A_PRICE = 1_000_000


@dataclass(frozen=True, slots=True)
class DayRange:
    """How two days are written, in patterns of CLDR: what the first says where both share month or year, and so on."""

    first_of_month: str
    last_of_month: str
    first_of_year: str
    last_of_year: str
    to: str


LOCALES = {
    "en": Locale("en", "GB"),
    "de": Locale("de"),
    "fr": Locale("fr"),
    "zh": Locale("zh", "CN", "Hans"),
    "ja": Locale("ja"),
}
DAY_RANGES = {
    "en": DayRange("d", "d MMMM y", "d MMMM", "d MMMM y", " \u2013 "),
    "de": DayRange("d.", "d. MMMM y", "d. MMMM", "d. MMMM y", " \u2013 "),
    "fr": DayRange("d", "d MMMM y", "d MMMM", "d MMMM y", " \u2013 "),
    "zh": DayRange("y年M月d日", "d日", "y年M月d日", "M月d日", "至"),
    "ja": DayRange("y年M月d日", "d日", "y年M月d日", "M月d日", "\uff5e"),
}


@dataclass(frozen=True, slots=True)
class Figures:
    """The formats of one of `LANGUAGES`."""

    language: str

    @property
    def locale(self) -> Locale:
        return LOCALES[self.language]

    def quantity(self, number: int) -> str:
        """18059974 as 18,059,974."""
        return format_decimal(number, "#,##0", locale=self.locale)

    def amount(self, value: Decimal, currency: str) -> str:
        """An amount that has been rounded already, with the currency's decimals: 1,234.50, or 1,235 for yen."""
        places = decimals(currency)
        pattern = "#,##0" + ("." + "0" * places if places else "")
        return format_decimal(value, pattern, locale=self.locale, decimal_quantization=False)

    def money(self, value: Decimal, currency: str) -> str:
        """`amount` with its currency's code, for signs such as $ stand for several: 1,234.50 EUR."""
        return f"{self.amount(value, currency)} {currency}"

    def exact(self, value: Decimal) -> str:
        """An amount of the books, with as many decimals as it has, and two at least."""
        return format_decimal(value, PRICE_PATTERN, locale=self.locale, decimal_quantization=False)

    def percent(self, value: Decimal) -> str:
        """The number of a percentage, without its sign: 19, or 5.5."""
        return format_decimal(value, "0.##", locale=self.locale)

    def unit_price(self, unit_amount: Decimal, currency: str, per: int, unit: str) -> tuple[str, str]:
        """The price as people compare it, tokens by the million, and what it is for; exact, whatever `per` is kept."""
        words = words_of(self.language)
        shown_per = TOKENS_OF_A_PRICE if unit in TOKEN_UNITS else 1
        price = self.exact(UnitPrice.of(unit_amount, currency, per).of_quantity(shown_per).decimal)
        if unit in TOKEN_UNITS:
            return price, words.per_million_tokens
        return price, words.per.format(unit=words.single_units.get(unit, unit)) if unit else ""

    def day(self, value: date) -> str:
        return format_date(value, "long", locale=self.locale)

    def month(self, first_day: date) -> str:
        return format_skeleton("yMMMM", first_day, locale=self.locale)

    def days(self, first: date, last: date) -> str:
        """A range of days, saying month and year once where they are the same: 1 - 30 November 2026."""
        pattern = DAY_RANGES[self.language]
        if first == last:
            return self.day(first)
        if (first.year, first.month) == (last.year, last.month):
            ends = self._as(first, pattern.first_of_month), self._as(last, pattern.last_of_month)
        elif first.year == last.year:
            ends = self._as(first, pattern.first_of_year), self._as(last, pattern.last_of_year)
        else:
            ends = self.day(first), self.day(last)
        return pattern.to.join(ends)

    def moment(self, at: datetime, time_zone: str) -> str:
        """An instant on the clock of a time zone, which is named: 23 November 2026, 16:05 (Europe/Berlin)."""
        local = at.astimezone(ZoneInfo(time_zone))
        clock = format_time(local, "HH:mm", tzinfo=ZoneInfo(time_zone), locale=self.locale)
        return f"{self.day(local.date())}, {clock} ({time_zone})"

    def country(self, code: str) -> str:
        return str(self.locale.territories.get(code, code))

    def _as(self, day: date, pattern: str) -> str:
        return format_date(day, pattern, locale=self.locale)


def figures_of(language: str) -> Figures:
    """The formats of `supported(language)`."""
    return Figures(supported(language))


ENGLISH = figures_of("en")
quantity, amount, exact, day, month = (
    ENGLISH.quantity,
    ENGLISH.amount,
    ENGLISH.exact,
    ENGLISH.day,
    ENGLISH.month,
)
