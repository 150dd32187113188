"""Standard rates of value-added tax in some countries, as a beginning: dated, each with the law that sets it.

They are entered on request (`tokenworks tax_rates`), and the operator's rows go before them. A country that is not here
is entered by the operator, from the law; nothing is guessed.
"""

from datetime import date
from decimal import Decimal
from typing import NamedTuple

from billing.models import TaxRate


class StandardRate(NamedTuple):
    country: str
    valid_from: date
    percent: Decimal
    source: str


RATES = (
    StandardRate("AT", date(1984, 1, 1), Decimal("20"), "§ 10 Abs. 1 UStG 1994"),
    StandardRate("BE", date(1996, 1, 1), Decimal("21"), "Arrêté royal n° 20 du 20 juillet 1970, art. 1"),
    StandardRate("CH", date(2024, 1, 1), Decimal("8.1"), "Art. 25 Abs. 1 MWSTG"),
    StandardRate("DE", date(2007, 1, 1), Decimal("19"), "§ 12 Abs. 1 UStG"),
    StandardRate("DE", date(2020, 7, 1), Decimal("16"), "§ 28 Abs. 1 UStG"),
    StandardRate("DE", date(2021, 1, 1), Decimal("19"), "§ 12 Abs. 1 UStG"),
    StandardRate("DK", date(1992, 1, 1), Decimal("25"), "Momsloven § 33"),
    StandardRate("ES", date(2012, 9, 1), Decimal("21"), "Ley 37/1992, art. 90"),
    StandardRate("FR", date(2014, 1, 1), Decimal("20"), "Code général des impôts, art. 278"),
    StandardRate("GB", date(2011, 1, 4), Decimal("20"), "Value Added Tax Act 1994, s. 2(1)"),
    StandardRate("IE", date(2021, 3, 1), Decimal("23"), "Value-Added Tax Consolidation Act 2010, s. 46(1)(a)"),
    StandardRate("IT", date(2013, 10, 1), Decimal("22"), "DPR 633/1972, art. 16"),
    StandardRate(
        "JP", date(2019, 10, 1), Decimal("10"), "Consumption Tax Act, art. 29, with the local consumption tax"
    ),
    StandardRate("LU", date(2024, 1, 1), Decimal("17"), "Loi TVA du 12 février 1979, art. 39"),
    StandardRate("NL", date(2012, 10, 1), Decimal("21"), "Wet op de omzetbelasting 1968, art. 9 lid 1"),
    StandardRate("PL", date(2011, 1, 1), Decimal("23"), "Ustawa o podatku od towarów i usług, art. 41 i 146ef"),
    StandardRate("SE", date(1990, 7, 1), Decimal("25"), "Mervärdesskattelag (2023:200), 9 kap. 2 §"),
)


def enter() -> list[TaxRate]:
    """Enter the rates of countries that have none yet, and return what was entered."""
    known = set(TaxRate.objects.values_list("country", flat=True))
    fresh = [TaxRate(**rate._asdict()) for rate in RATES if rate.country not in known]
    return TaxRate.objects.bulk_create(fresh)
