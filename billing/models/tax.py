"""Rates of tax by country and day, and tenants that pay none.

Invoices copy what they used, so a change reaches later ones only.
"""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from tenants.models import COUNTRY, Tenant


class TaxRate(models.Model):
    """A country's standard rate from a day on, until its next rate begins."""

    country = models.CharField(max_length=2, validators=[COUNTRY])
    valid_from = models.DateField()
    percent = models.DecimalField(
        max_digits=5, decimal_places=2, validators=[MinValueValidator(0), MaxValueValidator(100)]
    )
    source = models.CharField(max_length=300, help_text="Where the rate is written: the law, its paragraph, a link.")

    class Meta:
        ordering = ["country", "-valid_from"]
        constraints = [
            models.UniqueConstraint(fields=["country", "valid_from"], name="tax_rate_once_a_day"),
            models.CheckConstraint(condition=Q(percent__gte=0, percent__lte=100), name="tax_rate_percent"),
        ]

    def __str__(self) -> str:
        return f"{self.country} {self.percent.normalize():f} % from {self.valid_from}"


class TaxExemption(models.Model):
    """A tenant that pays no tax, for a reason that the law gives: it is printed on each invoice."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="tax_exemptions")
    valid_from = models.DateField()
    valid_until = models.DateField(null=True, blank=True, help_text="The last day; empty: until further notice.")
    reason = models.CharField(max_length=300, help_text="As it is printed, with the paragraph of the law.")
    certificate = models.CharField(max_length=100, blank=True, help_text="Number of the paper that proves it.")

    class Meta:
        ordering = ["tenant", "-valid_from"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "valid_from"], name="tax_exemption_once_a_day"),
            models.CheckConstraint(
                condition=Q(valid_until=None) | Q(valid_until__gte=F("valid_from")), name="tax_exemption_not_empty"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="tax_exemption_has_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.tenant.slug} from {self.valid_from}"

    def clean(self) -> None:
        if self.valid_from and self.valid_until and self.valid_until < self.valid_from:
            raise ValidationError({"valid_until": "The last day comes before the first one."})
