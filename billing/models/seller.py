"""The operator's legal entity, as it stands on invoices."""

from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models

from tenants.models import COUNTRY, legal_tax_number

PREFIX = RegexValidator(r"^[A-Z0-9]{1,8}\Z", "Give up to eight capital letters and digits, such as TW.")


class Seller(models.Model):
    """Who invoices. There is one; every invoice copies it whole, so a change reaches later invoices only."""

    legal_name = models.CharField(max_length=200)
    address_lines = models.TextField(help_text="Street, postal code and town, one a line.")
    country = models.CharField(max_length=2, validators=[COUNTRY])
    tax_number = models.CharField(max_length=40, help_text="The VAT id where there is one, such as DE811907980.")
    in_one_stop_shop = models.BooleanField(
        default=True,
        verbose_name="in the One Stop Shop",
        help_text="Buyers without a VAT id in other EU countries pay their own country's rate. Without a tick they pay"
        " the seller's, which the law allows below EUR 10,000 a year (Art. 59c of Directive 2006/112/EC).",
    )
    bank_details = models.TextField(help_text="How to pay: account holder, bank, IBAN and BIC, one a line.")
    email = models.EmailField(help_text="Whom the buyer asks about an invoice.")
    payment_terms_days = models.PositiveSmallIntegerField(default=14, validators=[MaxValueValidator(365)])
    invoice_prefix = models.CharField(
        max_length=8, default="TW", validators=[PREFIX], help_text="What invoice numbers begin with."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                models.Value(1), name="seller_only_one", violation_error_message="There is one seller already."
            )
        ]

    def __str__(self) -> str:
        return self.legal_name

    def clean(self) -> None:
        self.address_lines = "\n".join(self.address_lines.splitlines())  # Browsers end lines otherwise.
        self.bank_details = "\n".join(self.bank_details.splitlines())
        self.tax_number = legal_tax_number(self.country, self.address_lines, self.tax_number)
