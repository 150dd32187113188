import re

import pytest

from tenants.legal_address import COUNTRIES, POSTAL_CODES, address_problem, country_problem


@pytest.mark.parametrize("country", POSTAL_CODES)
def test_each_countrys_example_is_a_postal_code_of_it(country: str) -> None:
    form, example = POSTAL_CODES[country]
    assert country in COUNTRIES
    assert re.fullmatch(form, example)
    assert address_problem(country, f"Street 1\n{example} Town") is None


@pytest.mark.parametrize(
    ("country", "address"),
    [
        ("DE", "Musterstraße 1\n10115 Berlin"),
        ("US", "1 Market Street\nSan Francisco, CA 94105"),
        ("NL", "Damrak 1\n1012js Amsterdam"),
        ("IE", "1 Main Street\nBallydehob"),
        ("JP", "1-1 Chiyoda\nTokyo 100-0001"),
    ],
)
def test_a_whole_address_has_no_problem(country: str, address: str) -> None:
    assert address_problem(country, address) is None


@pytest.mark.parametrize(
    ("country", "address", "reason"),
    [
        ("DE", "Musterstraße 1, 10115 Berlin", "two lines or more"),
        ("DE", " \n \n", "two lines or more"),
        ("DE", "Musterstraße 1\nBerlin", "postal code, such as 10115"),
        ("DE", "Musterstraße 101150\nBerlin", "postal code, such as 10115"),
        ("GB", "10 Downing Street\nLondon", "such as SW1A 2AA"),
    ],
)
def test_an_address_that_lacks_something_says_what(country: str, address: str, reason: str) -> None:
    assert reason in (address_problem(country, address) or "")


def test_a_country_is_one_of_iso_3166() -> None:
    assert len(COUNTRIES) == 250  # The 249 of ISO 3166, and Kosovo under the code that users gave it.
    assert country_problem("DE") is None
    assert country_problem("UK") == "UK is no country of ISO 3166. Give GB."
    assert country_problem("ZZ") == "ZZ is no country of ISO 3166. Give two letters, such as DE."
