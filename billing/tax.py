"""Which tax a supply bears, and what it comes to. Pure; docs/tax.md states the rules with their sources.

A factory sells electronically supplied services. Where seller and buyer are, and whether the buyer is a business with a
VAT id, decides where they are taxed:

- at home: the seller's own rate;
- to a business in another member state: there, and the buyer owes it (Art. 44 and 196 of Directive 2006/112/EC);
- to anyone else in another member state: there, at that state's rate (Art. 58), which the seller declares in the One
  Stop Shop; or at home, for as long as the seller stays below the threshold of Art. 59c and says so;
- to anyone outside the EU: outside the scope of the EU's VAT (Art. 44 and 58).

A seller outside the EU is taxed at home by its own country's rate. For what it sells abroad no rule is known here, so
the operator says it on the tenant; nothing is guessed.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from operator import itemgetter

from billing.errors import TaxIsUnclear
from money.amount import Money, rounded_quotient
from tenants.tax_numbers import EU

REVERSE_CHARGE = "Reverse charge: the buyer accounts for the VAT (Art. 196 of Directive 2006/112/EC)."
OUTSIDE_THE_EU = (
    "Not subject to EU VAT: supplied where the buyer is, outside the EU (Art. 44 and 58 of Directive 2006/112/EC)."
)

# Its VAT territory is France's. Source: Art. 7(1) of Directive 2006/112/EC.
TAXED_AS = {"MC": "FR"}


class Category(StrEnum):
    """UNCL5305 as far as EN 16931 has it. `TaxCategory` of the tables has the same values; a test compares them."""

    STANDARD = "S"
    ZERO = "Z"
    EXEMPT = "E"
    REVERSE_CHARGE = "AE"
    EXPORT = "G"
    OUT_OF_SCOPE = "O"


@dataclass(frozen=True, slots=True)
class Treatment:
    """How a supply is taxed. `reason` says why no tax is due, where none is."""

    category: Category
    rate_percent: Decimal
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Supply:
    """Who sells to whom, by ISO 3166 country, and on which day the supply counts as made."""

    seller_country: str
    buyer_country: str
    buyer_has_vat_id: bool
    in_one_stop_shop: bool
    on: date


Rates = Mapping[str, Sequence[tuple[date, Decimal]]]
"""The standard rates of each country, each from a day on, ascending."""


@dataclass(frozen=True, slots=True)
class TaxSum:
    """The tax on all lines of one category and rate, rounded once."""

    category: Category
    rate_percent: Decimal
    net: Money
    tax: Money
    reason: str


def set_by_operator(rate_percent: Decimal, note: str) -> Treatment:
    """What the operator has entered for a tenant, which goes before all rules."""
    if rate_percent:
        return Treatment(Category.STANDARD, rate_percent)
    return Treatment(Category.EXEMPT, Decimal(0), note) if note else Treatment(Category.ZERO, Decimal(0))


def exempt(reason: str) -> Treatment:
    return Treatment(Category.EXEMPT, Decimal(0), reason)


def by_rule(supply: Supply, rates: Rates) -> Treatment:
    """How the law of the EU, or the seller's own country, taxes a supply. Raises `TaxIsUnclear` where neither says."""
    seller, buyer = _territory(supply.seller_country), _territory(supply.buyer_country)
    if seller == buyer:
        return _standard(seller, supply.on, rates)
    if seller not in EU:
        raise TaxIsUnclear(
            f"No rule is known for what a seller in {seller} sells to {buyer}. "
            "Enter the tenant's tax rate, and a note where none is due."
        )
    if buyer not in EU:
        return Treatment(Category.OUT_OF_SCOPE, Decimal(0), OUTSIDE_THE_EU)
    if supply.buyer_has_vat_id:
        return Treatment(Category.REVERSE_CHARGE, Decimal(0), REVERSE_CHARGE)
    return _standard(buyer if supply.in_one_stop_shop else seller, supply.on, rates)


def rate_on(country: str, on: date, rates: Rates) -> Decimal | None:
    """The latest rate of a country that has begun; None before the first."""
    known = rates.get(country, [])
    following = bisect_right(known, on, key=itemgetter(0))
    return known[following - 1][1] if following else None


def tax_on(net: Money, rate_percent: Decimal) -> Money:
    """The tax on a net sum, rounded once. The rate has two decimals at most, so the product is exact."""
    return Money(rounded_quotient(net.pico * int(rate_percent * 100), 10_000), net.currency).rounded()


def sums(lines: Iterable[tuple[Treatment, Money]]) -> list[TaxSum]:
    """The lines' rounded amounts by category and rate, and the tax on each of these sums."""
    nets: dict[tuple[Category, Decimal], Money] = {}
    reasons: dict[tuple[Category, Decimal], dict[str, None]] = {}
    for treatment, amount in lines:
        key = treatment.category, treatment.rate_percent
        nets[key] = nets[key] + amount if key in nets else amount
        reasons.setdefault(key, {})[treatment.reason] = None
    return [
        TaxSum(category, rate, net, tax_on(net, rate), " ".join(filter(None, reasons[category, rate])))
        for (category, rate), net in sorted(nets.items(), key=itemgetter(0))
    ]


def _territory(country: str) -> str:
    return TAXED_AS.get(country, country)


def _standard(country: str, on: date, rates: Rates) -> Treatment:
    rate = rate_on(country, on, rates)
    if rate is None:
        raise TaxIsUnclear(
            f"No standard rate of {country} is known for {on}. Enter it under tax rates, or the tenant's own rate."
        )
    return Treatment(Category.STANDARD if rate else Category.ZERO, rate)
