"""The words of documents and of the mails that bring them, by language.

A language is a `Words` with every field filled in, so a missing word is an error when the program starts, and types
are checked. To add one, write its module beside these and name it in `LANGUAGES`, and in `figures` how a range of days
is written.
"""

from billing.documents.languages.chinese import CHINESE
from billing.documents.languages.english import ENGLISH
from billing.documents.languages.french import FRENCH
from billing.documents.languages.german import GERMAN
from billing.documents.languages.japanese import JAPANESE
from billing.documents.languages.words import MailWords, TaxWords, Words

LANGUAGES: dict[str, Words] = {"en": ENGLISH, "de": GERMAN, "fr": FRENCH, "zh": CHINESE, "ja": JAPANESE}
DEFAULT = "en"

__all__ = ["DEFAULT", "LANGUAGES", "MailWords", "TaxWords", "Words", "supported", "words_of"]


def supported(language: str) -> str:
    """The language of LANGUAGES that a tenant's own means (`de-AT` means `de`), or English where there is none."""
    code = language.replace("_", "-").partition("-")[0].lower()
    return code if code in LANGUAGES else DEFAULT


def words_of(language: str) -> Words:
    """The words of `supported(language)`."""
    return LANGUAGES[supported(language)]
