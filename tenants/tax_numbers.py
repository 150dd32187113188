"""Tax numbers of sellers and buyers, and which of them are VAT ids. Pure.

A number that begins with its country's own letters claims to be a VAT id, and its digits are checked by python-stdnum:
length and check digits, which find nearly every slip of the pen. Whether the id is registered today is for the operator
to ask of the authority (VIES in the EU); nothing here asks a network. Any other number is a local one, kept as given.
"""

from stdnum.eu import vat as eu_vat
from stdnum.exceptions import ValidationError
from stdnum.gb import vat as gb_vat
from stdnum.no import mva as no_mva

# The member states, by ISO 3166, since 1 February 2020. Source: Art. 52 of the Treaty on European Union, and Art. 185
# of the withdrawal agreement.
EU = frozenset(
    {"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU"}
    | {"IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"}
)
OTHERS = {"GB": gb_vat, "NO": no_mva}

# VAT ids begin with the letters of ISO 3166, but for these. Source: Art. 215 of Directive 2006/112/EC.
PREFIXES = {"GR": "EL"}


class NotATaxNumber(ValueError):
    """The tax number is not one of its country."""


def is_vat_id(country: str, number: str) -> bool:
    """Whether the number is a valid VAT id of this very country, as far as its digits tell."""
    return _claims_to_be_one(country, number) and _compact(country, number) is not None


def checked(country: str, number: str) -> str:
    """The number as it is kept: a VAT id of the EU without spaces and dots, any other as given.

    Raises `NotATaxNumber` where it claims to be a VAT id and is none, or is one of another member state.
    """
    number = number.strip()
    if _claims_to_be_one(country, number):
        compact = _compact(country, number)
        if compact is None:
            raise NotATaxNumber(
                f"{number} begins like a VAT id of {country}, but length or check digits are wrong. Ask for it again."
            )
        return compact
    if number[:2].isalpha() and eu_vat.is_valid(number):
        raise NotATaxNumber(
            f"{number} is a VAT id that does not belong to {country}. Give the one of the country that is entered."
        )
    return number


def _claims_to_be_one(country: str, number: str) -> bool:
    number = number.strip().upper()
    letters = PREFIXES.get(country, country)
    return (
        (country in EU or country in OTHERS) and number.startswith(letters) and any(mark.isdigit() for mark in number)
    )


def _compact(country: str, number: str) -> str | None:
    """The number as it is kept; None where its digits are wrong."""
    module = eu_vat if country in EU else OTHERS[country]
    try:
        module.validate(number.strip())
    except ValidationError:
        return None
    return str(eu_vat.compact(number)) if country in EU else number.strip().upper()
