"""What documents look like, and the XML that was issued."""

from django.core.validators import MaxLengthValidator, RegexValidator
from django.db import models
from django.utils import timezone

from billing.models.invoices import Invoice

COLOUR = RegexValidator(r"^#[0-9a-fA-F]{6}\Z", "Give a colour as # and six hexadecimal digits, such as #17486b.")
LOGO_CHARACTERS_MAX = 400_000


class Brand(models.Model):
    """The operator's look of documents, from the day it was entered on. Another look is another row: a document can be
    made again as it was, because it has the newest one that was there when its invoice became final.
    """

    class Language(models.TextChoices):
        ALL = "", "all languages"
        ENGLISH = "en", "English"
        GERMAN = "de", "German"
        FRENCH = "fr", "French"
        CHINESE = "zh", "Chinese"
        JAPANESE = "ja", "Japanese"

    language = models.CharField(
        max_length=8, choices=Language, blank=True, help_text="A look of one language goes before that of all."
    )
    colour = models.CharField(max_length=7, default="#17486b", validators=[COLOUR])
    logo_svg = models.TextField(blank=True, validators=[MaxLengthValidator(LOGO_CHARACTERS_MAX)])
    closing_words = models.TextField(
        blank=True, validators=[MaxLengthValidator(2000)], help_text="Stands below every document."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.get_language_display()}, since {self.created_at:%Y-%m-%d %H:%M}"


class InvoiceXml(models.Model):
    """A document in one syntax of EN 16931, as it was issued, and by what it was found valid."""

    class Syntax(models.TextChoices):
        CII = "cii", "CII, as Factur-X carries it"
        UBL = "ubl", "UBL for Peppol"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="xml")
    syntax = models.CharField(max_length=8, choices=Syntax)
    xml = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    validated_with = models.CharField(max_length=200)
    made_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["invoice", "syntax"], name="xml_once_in_syntax")]

    def __str__(self) -> str:
        return f"{self.invoice}.{self.syntax}.xml"
