"""A document in the terms of EN 16931, the European standard of electronic invoices. Pure.

The keys are the standard's own: BT-1 is the number, BG-25 are the lines, ... factur-x writes them as CII and as UBL.
Amounts are texts, made from exact decimals.

Every printed line is a line here, with the same position and amount. Where no price of zero or more gives the amount
(a fee, a discount, a line that was corrected), the line is one piece at that amount, or minus one piece: the standard
knows no negative price.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from stdnum import bic, iban

from billing.documents.content import Content, Item, Party, Tax
from billing.documents.figures import figures_of
from billing.documents.invoice_text import item_about, item_month, item_name, tax_reason, title
from billing.documents.languages import words_of
from metering.usage import Unit
from money.amount import decimals
from tenants.tax_numbers import is_vat_id

Terms = dict[str, Any]

INVOICE, CREDIT_NOTE = "380", "381"  # UNTDID 1001
ONE, SECOND = "C62", "SEC"  # UN/ECE Recommendation 20
CREDIT_TRANSFER, SEPA_TRANSFER, NOT_DEFINED = "30", "58", "1"  # UNTDID 4461
BY_EMAIL = "EM"  # Electronic address scheme
REASON_CODES = {"AE": "VATEX-EU-AE", "G": "VATEX-EU-G", "O": "VATEX-EU-O"}
OUT_OF_SCOPE = "O"
DECIMALS_MAX = 2  # Rules BR-DEC-*: no amount has more.
ADDRESS_LINES_MAX = 3
POSTCODE_AND_TOWN = re.compile(r"(?P<postcode>(?:[A-Z]{1,2}-)?\d[\d -]{2,8}\d) +(?P<town>\D.*)")


def can_say(currency: str) -> bool:
    """Whether the standard can express amounts of a currency: it knows none with three decimals, such as KWD."""
    return decimals(currency) <= DECIMALS_MAX


def terms_of(content: Content) -> Terms:
    """A document in the terms of EN 16931."""
    out_of_scope = any(tax.category == OUT_OF_SCOPE for tax in content.taxes)
    words = words_of(content.language)
    terms: Terms = {
        "BT-1": content.number,
        "BT-2": content.issued_on,
        "BT-3": CREDIT_NOTE if content.is_credit_note else INVOICE,
        "BT-5": content.currency,
        "BT-10": content.buyer_slug,
        "BT-72": content.last_day,
        "BT-73": content.first_day,
        "BT-74": content.last_day,
        "BT-83": content.number,
        "BG-1": [{"BT-22": note} for note in _notes(content)],
        "BG-4": _party(content.seller, tells_vat_id=not out_of_scope, sells=True),
        "BG-7": _party(content.buyer, tells_vat_id=not out_of_scope, sells=False),
        "BG-23": [_tax(tax, tax_reason(tax, words), content.currency) for tax in content.taxes],
        "BG-25": [_line(content, item) for item in content.items],
        **_totals(content),
        **_payment(content),
    }
    if content.is_credit_note:
        terms["BG-3"] = [{"BT-25": content.corrects, "BT-26": content.corrects_issued_on}]
    else:
        terms["BT-9"] = content.due_on
    return terms


def _notes(content: Content) -> list[str]:
    words, figures = words_of(content.language), figures_of(content.language)
    if content.is_credit_note:
        return [title(content, words), f"{words.reason}: {content.reason}"]
    early = words.closed_early.format(moment=figures.moment(content.usage_until, content.time_zone))
    return [title(content, words), *([early] if content.closed_early else [])]


def _amount(value: Decimal, currency: str) -> str:
    return f"{value:.{decimals(currency)}f}"


def _number(value: Decimal) -> str:
    """As many decimals as it has: 0.60, and not 0.600000000000."""
    return f"{value.normalize():f}"


def _totals(content: Content) -> Terms:
    sums = {
        "BT-106": content.net,
        "BT-109": content.net,
        "BT-110": content.tax,
        "BT-112": content.gross,
        "BT-115": content.due,
    }
    if content.prepaid:
        sums["BT-113"] = content.prepaid
    return {term: _amount(value, content.currency) for term, value in sums.items()}


def _party(party: Party, *, tells_vat_id: bool, sells: bool) -> Terms:
    terms: Terms = {
        "name": party.name,
        "country_code": party.country,
        "einvoicing_addr": party.email,
        "einvoicing_addr_schemeid": BY_EMAIL,
        **_address(party.address),
        **_tax_number(party, tells_vat_id=tells_vat_id, sells=sells),
    }
    return {name: value for name, value in terms.items() if value}


def _tax_number(party: Party, *, tells_vat_id: bool, sells: bool) -> Terms:
    """Where it belongs: rule BR-O-02 wants no VAT id where no VAT applies, and BR-CO-26 a seller that is known."""
    if tells_vat_id and is_vat_id(party.country, party.tax_number):
        return {"vat_identifier": party.tax_number}
    if sells:
        return {"tax_identifier": party.tax_number, "identifiers": {None: party.tax_number}}
    return {}


def _address(lines: list[str]) -> Mapping[str, str]:
    """Street, and postal code and town where the last line begins with digits as most countries write it."""
    *streets, last = lines or [""]
    found = POSTCODE_AND_TOWN.fullmatch(last)
    if found is None:
        streets = lines
    shown = [*streets[: ADDRESS_LINES_MAX - 1], ", ".join(streets[ADDRESS_LINES_MAX - 1 :])]
    parts = {f"addr_l{number}": line for number, line in enumerate(shown, start=1) if line}
    return parts | ({"postcode": found["postcode"].strip(), "city": found["town"].strip()} if found else {})


def _tax(tax: Tax, reason: str, currency: str) -> Terms:
    terms = {
        "BT-116": _amount(tax.net, currency),
        "BT-117": _amount(tax.tax, currency),
        "BT-118": tax.category,
        "BT-119": _rate(tax.category, tax.rate_percent),
        "BT-120": reason,
        "BT-121": REASON_CODES.get(tax.category, ""),
    }
    return {term: value for term, value in terms.items() if value}


def _rate(category: str, percent: Decimal) -> str:
    """Rule BR-O-05: what is out of scope has no rate, not even 0."""
    return "" if category == OUT_OF_SCOPE else f"{percent:.2f}"


def _line(content: Content, item: Item) -> Terms:
    words, figures = words_of(content.language), figures_of(content.language)
    about = ", ".join(filter(None, (item_about(item, words), item_name(item, words, figures))))
    project = words.project.format(project=item.project) if item.project else ""
    terms = {
        "BT-126": str(item.position),
        "BT-131": _amount(item.amount, content.currency),
        "BT-134": item.first_day,
        "BT-135": item.last_day,
        "BT-151": item.tax_category,
        "BT-152": _rate(item.tax_category, item.tax_rate_percent),
        "BT-153": about,
        "BT-154": ", ".join(filter(None, (project, item_month(item, words, figures)))),
        **_priced(content, item),
    }
    return {term: value for term, value in terms.items() if value}


def _priced(content: Content, item: Item) -> Terms:
    if item.price is None:
        pieces = "-1" if item.amount < 0 else "1"
        return {"BT-129": pieces, "BT-130": ONE, "BT-146": _amount(abs(item.amount), content.currency)}
    return {
        "BT-129": str(item.quantity),
        "BT-130": SECOND if item.unit == Unit.SECOND else ONE,
        "BT-146": _number(item.price.amount.decimal),
        "BT-149": str(item.price.per),
    }


def _payment(content: Content) -> Terms:
    """By transfer to the IBAN among the bank details; without one, as the details say in words."""
    if content.is_credit_note:
        return {}
    account = next(filter(None, map(_iban, content.bank_details)), "")
    if not account:
        return {"BT-81": NOT_DEFINED, "BT-82": "; ".join(content.bank_details)}
    bank = next(filter(None, map(_bic, content.bank_details)), "")
    means = SEPA_TRANSFER if content.currency == "EUR" else CREDIT_TRANSFER
    return {"BT-81": means, "BT-84": account, "BT-85": content.seller.name} | ({"BT-86": bank} if bank else {})


def _iban(line: str) -> str:
    """The IBAN that a line ends with, after a name such as `IBAN:`."""
    number = re.sub(r"(?i)^.*iban\W*", "", line)
    return iban.compact(number) if iban.is_valid(number) else ""


def _bic(line: str) -> str:
    code = re.sub(r"(?i)^.*(?:bic|swift)\W*", "", line)
    return bic.compact(code) if code != line and bic.is_valid(code) else ""
