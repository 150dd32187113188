"""What ends an invoice's open amount without a payment: written off, or paid back."""

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q

from billing.models.invoices import Invoice
from money.fields import CurrencyField, MoneyAmountField


class Settlement(models.Model):
    """Recorded by hand and booked at once. It never changes."""

    class Kind(models.TextChoices):
        WRITE_OFF = "write_off", "written off: it will not be paid"
        REFUND = "refund", "paid back: the tenant was owed it"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="settlements")
    kind = models.CharField(max_length=16, choices=Kind)
    amount = MoneyAmountField()
    currency = CurrencyField()
    occurred_on = models.DateField()
    reference = models.CharField(max_length=140, help_text="Why, or what the bank calls it. An invoice has each once.")
    recorded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["invoice", "kind", "reference"], name="settlement_once"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="settlement_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.amount.normalize():f} {self.currency}"
