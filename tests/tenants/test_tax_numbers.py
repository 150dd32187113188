import pytest

from tenants.tax_numbers import EU, NotATaxNumber, checked, is_vat_id


def test_the_eu_has_27_member_states() -> None:
    assert len(EU) == 27


@pytest.mark.parametrize(
    ("country", "number", "kept"),
    [
        ("DE", "DE 136 695 976", "DE136695976"),
        ("AT", "ATU13585627", "ATU13585627"),
        ("FR", "FR 40 303 265 045", "FR40303265045"),
        ("GR", "EL094259216", "EL094259216"),
        ("SE", "SE 123456789701", "SE123456789701"),
        ("GB", "GB980780684", "GB980780684"),
        ("NO", "no 995 525 828 mva", "NO 995 525 828 MVA"),
    ],
)
def test_a_vat_id_is_known_by_its_digits_and_kept_in_its_short_form(country: str, number: str, kept: str) -> None:
    assert checked(country, number) == kept
    assert is_vat_id(country, number)


@pytest.mark.parametrize(
    ("country", "number"),
    [
        ("DE", "12/345/67890"),
        ("IT", "RSSMRA85T10A562S"),
        ("ES", "B58378431"),
        ("US", "91-1144442"),
        ("US", "US123456789"),
        ("DE", ""),
    ],
)
def test_a_local_number_stays_as_it_is_and_is_no_vat_id(country: str, number: str) -> None:
    assert checked(country, number) == number
    assert not is_vat_id(country, number)


@pytest.mark.parametrize("number", ["DE136695977", "DE13669597", "DE13669597X"])
def test_a_vat_id_with_a_slip_of_the_pen_is_refused(number: str) -> None:
    with pytest.raises(NotATaxNumber, match="length or check digits are wrong"):
        checked("DE", number)
    assert not is_vat_id("DE", number)


def test_a_vat_id_of_another_country_is_refused() -> None:
    with pytest.raises(NotATaxNumber, match="does not belong to FR"):
        checked("FR", "DE136695976")
    assert not is_vat_id("FR", "DE136695976")
