"""What a legal address has to say in its country, so that it can stand on an invoice. Pure.

Full name and address of the buyer are what Art. 226(5) of Directive 2006/112/EC asks, and other laws alike. An address
is a street and a town, one a line; where post has codes that are told by their form, it has one. Forms are those of the
Universal Postal Union's addressing sheets. Countries that are not here are not asked for a code.
"""

import re

from babel import Locale

# The form of a postal code, and an example that a refusal can show.
POSTAL_CODES = {
    "AT": (r"\d{4}", "1010"),
    "BE": (r"\d{4}", "1000"),
    "CH": (r"\d{4}", "8001"),
    "CN": (r"\d{6}", "100000"),
    "CZ": (r"\d{3} ?\d{2}", "110 00"),
    "DE": (r"\d{5}", "10115"),
    "DK": (r"\d{4}", "1050"),
    "ES": (r"\d{5}", "28001"),
    "FI": (r"\d{5}", "00100"),
    "FR": (r"\d{5}", "75001"),
    "GB": (r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}", "SW1A 2AA"),
    "GR": (r"\d{3} ?\d{2}", "105 57"),
    "HU": (r"\d{4}", "1051"),
    "IN": (r"\d{3} ?\d{3}", "110001"),
    "IT": (r"\d{5}", "00118"),
    "JP": (r"\d{3}-?\d{4}", "100-0001"),
    "LU": (r"\d{4}", "1009"),
    "NL": (r"\d{4} ?[A-Z]{2}", "1012 JS"),
    "NO": (r"\d{4}", "0150"),
    "PL": (r"\d{2}-\d{3}", "00-001"),
    "PT": (r"\d{4}-\d{3}", "1000-001"),
    "SE": (r"\d{3} ?\d{2}", "111 20"),
    "US": (r"\d{5}(-\d{4})?", "94105"),
}

# Regions of CLDR that are no countries: islands without a code of their own, unions, and what stands for nowhere.
_NO_COUNTRIES = {"AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"}
COUNTRIES = {code for code in map(str, Locale("en").territories) if len(code) == 2 and code.isalpha()} - _NO_COUNTRIES
MISTAKEN = {"UK": "GB", "EL": "GR"}


def country_problem(code: str) -> str | None:
    """Why this is no country of ISO 3166; None where it is one."""
    if code in COUNTRIES:
        return None
    meant = MISTAKEN.get(code)
    return f"{code} is no country of ISO 3166." + (f" Give {meant}." if meant else " Give two letters, such as DE.")


def address_problem(country: str, address_lines: str) -> str | None:
    """What an address lacks in its country; None where it is whole."""
    lines = [line for line in address_lines.splitlines() if line.strip()]
    if len(lines) < 2:
        return "An address has two lines or more: the street, then the town. Give each a line of its own."
    form, example = POSTAL_CODES.get(country, ("", ""))
    if not re.search(rf"(?<![\w-]){form}(?![\w-])", "\n".join(lines).upper()) and form:
        return f"An address in {country} has a postal code, such as {example}. Give it beside the town."
    return None
