"""Documents in each language: complete words, the language's own figures, and signs that every font must have."""

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from string import Formatter

import msgspec
import pypdf
import pytest

from billing.charges import LineKind
from billing.documents.content import Content
from billing.documents.figures import DAY_RANGES, LOCALES, figures_of
from billing.documents.invoice_pdf import invoice_pdf
from billing.documents.invoice_text import invoice_text
from billing.documents.languages import LANGUAGES, supported, words_of
from billing.documents.usage import Used
from billing.errors import TextCannotBeSet
from billing.tax import REVERSE_CHARGE
from metering.usage import TOKEN_UNITS, ServiceTier, Unit
from tests.billing.contents import AUSTRIAN, content, credit_note, taxed

USED = [
    Used(date(2026, 11, 10), 1, "llama-3.3-70b", "", "standard", "request", 8_819),
    Used(date(2026, 11, 11), 1, "llama-3.3-70b", "grounded", "standard", "output", 245_896),
]


def places(words: msgspec.Struct) -> dict[str, set[str]]:
    """What is filled in, by field."""
    texts = {name: value for name, value in msgspec.structs.asdict(words).items() if isinstance(value, str)}
    return {name: {field for _, field, _, _ in Formatter().parse(text) if field} for name, text in texts.items()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_everything(language: str) -> None:
    words = words_of(language)
    assert words.units.keys() == set(Unit)
    assert words.single_units.keys() == set(Unit) - set(TOKEN_UNITS)
    assert words.tiers.keys() == set(ServiceTier) - {ServiceTier.STANDARD}
    assert words.kinds.keys() == set(LineKind) - {LineKind.USAGE}
    english = LANGUAGES["en"]
    for own, theirs in ((words, english), (words.taxes, english.taxes), (words.mail, english.mail)):
        assert places(own) == places(theirs)
        assert all(msgspec.structs.asdict(own).values())


def test_every_language_has_its_formats() -> None:
    assert LOCALES.keys() == DAY_RANGES.keys() == LANGUAGES.keys()


@pytest.mark.parametrize(
    ("asked", "given"), [("de-AT", "de"), ("zh_Hans_CN", "zh"), ("FR", "fr"), ("it", "en"), ("", "en")]
)
def test_a_language_that_is_not_known_is_english(asked: str, given: str) -> None:
    assert supported(asked) == given


@pytest.mark.parametrize(
    ("language", "amount", "range_", "moment"),
    [
        ("en", "-1,234,567.50 EUR", "1 \u2013 30 November 2026", "1 December 2026, 09:00 (Europe/Berlin)"),
        ("de", "-1.234.567,50 EUR", "1. \u2013 30. November 2026", "1. Dezember 2026, 09:00 (Europe/Berlin)"),
        ("fr", "-1\u202f234\u202f567,50 EUR", "1 \u2013 30 novembre 2026", "1 décembre 2026, 09:00 (Europe/Berlin)"),
        ("zh", "-1,234,567.50 EUR", "2026年11月1日至30日", "2026年12月1日, 09:00 (Europe/Berlin)"),
        ("ja", "-1,234,567.50 EUR", "2026年11月1日\uff5e30日", "2026年12月1日, 09:00 (Europe/Berlin)"),
    ],
)
def test_figures_are_written_as_the_language_does(language: str, amount: str, range_: str, moment: str) -> None:
    figures = figures_of(language)
    assert figures.money(Decimal("-1234567.50"), "EUR") == amount
    assert figures.days(date(2026, 11, 1), date(2026, 11, 30)) == range_
    assert figures.moment(datetime(2026, 12, 1, 8, tzinfo=UTC), "Europe/Berlin") == moment


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("document", [content(), credit_note()], ids=["invoice", "credit note"])
def test_pages_are_set_in_each_language(language: str, document: Content) -> None:
    of_language = msgspec.structs.replace(document, language=language)
    text = invoice_text(of_language, [] if document.is_credit_note else USED)
    try:
        pdf = invoice_pdf(text, document.finalised_at)
    except TextCannotBeSet:
        if language not in {"zh", "ja"}:
            raise
        pytest.skip("This machine has no font for Chinese and Japanese, such as fonts-noto-cjk.")
    read = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages)
    assert document.number in read
    assert "19" in read


def test_the_laws_reason_is_said_in_the_language_and_the_operators_as_it_was_written() -> None:
    whole = content(taxed("AE"), buyer=AUSTRIAN, language="de")
    by_law = [msgspec.structs.replace(tax, reason=REVERSE_CHARGE) for tax in whole.taxes]
    by_hand = [msgspec.structs.replace(tax, reason="As agreed.") for tax in whole.taxes]
    [said] = invoice_text(msgspec.structs.replace(whole, taxes=by_law), []).tax_notes
    assert said.startswith("Steuerschuldnerschaft des Leistungsempfängers")
    assert invoice_text(msgspec.structs.replace(whole, taxes=by_hand), []).tax_notes == ["As agreed."]
