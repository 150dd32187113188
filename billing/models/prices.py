"""Price books and plans: what a unit costs, from when, and for whom.

That prices are exact and begin at a quarter of an hour is checked here, for people, and in Postgres (migration 0002),
for good.
"""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models

from billing.errors import InexactRate, PricesArePublished
from billing.periods import is_on_quarter_hour
from billing.rating import UnitPrice
from metering.usage import Unit
from money.amount import decimals
from money.errors import UnknownCurrency
from money.fields import CurrencyField, MoneyAmountField
from tenants.models import CURRENCY, Tenant


def known_currency(code: str) -> None:
    """Refuse what babel knows no decimals for."""
    try:
        decimals(code)
    except UnknownCurrency as refusal:
        raise ValidationError(str(refusal)) from refusal


def on_quarter_hour(at: datetime) -> None:
    """Usage is kept by the quarter of an hour; a price that began inside one could not be told apart."""
    if not is_on_quarter_hour(at):
        raise ValidationError(f"{at.isoformat()} is not at a quarter of an hour, such as 10:15:00 UTC.")


class PriceBook(models.Model):
    """A named set of prices in one currency, in dated versions."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    currency = CurrencyField(validators=[CURRENCY, known_currency])

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return f"{self.name} ({self.currency})"


class PriceBookVersion(models.Model):
    """All prices of a book from an instant on, until the next published version begins. Published, it never changes."""

    price_book = models.ForeignKey(PriceBook, on_delete=models.PROTECT, related_name="versions")
    valid_from = models.DateTimeField(validators=[on_quarter_hour], help_text="In UTC, at a quarter of an hour.")
    published_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["price_book", "-valid_from"]
        constraints = [
            models.UniqueConstraint(fields=["price_book", "valid_from"], name="version_once_in_book"),
        ]

    def __str__(self) -> str:
        return f"{self.price_book.slug} from {self.valid_from:%Y-%m-%d %H:%M} UTC"

    def save(self, *args: Any, **options: Any) -> None:
        self._refuse_if_published()
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        self._refuse_if_published()
        return super().delete(*args, **options)

    def _refuse_if_published(self) -> None:
        if self.pk and PriceBookVersion.objects.filter(pk=self.pk, published_at__isnull=False).exists():
            raise PricesArePublished(f"{self} is published and never changes. Publish another version.")


class Rate(models.Model):
    """The price of one unit of one offering: `amount` for every `per` of them."""

    class Per(models.IntegerChoices):
        ONE = 1, "1"
        THOUSAND = 1_000, "1,000"
        MILLION = 1_000_000, "1,000,000"

    version = models.ForeignKey(PriceBookVersion, on_delete=models.CASCADE, related_name="rates")
    offering = models.CharField(max_length=200, validators=[RegexValidator(r"\S")])
    unit = models.CharField(max_length=32, choices=[(unit.value, unit.value) for unit in Unit])
    amount = MoneyAmountField(validators=[MinValueValidator(0)])
    per = models.BigIntegerField(choices=Per, default=Per.MILLION)

    class Meta:
        ordering = ["version", "offering", "unit"]
        constraints = [
            models.UniqueConstraint(fields=["version", "offering", "unit"], name="rate_once_in_version"),
            models.CheckConstraint(condition=models.Q(amount__gte=0), name="rate_not_negative"),
            models.CheckConstraint(condition=models.Q(per__in=[1, 1_000, 1_000_000]), name="rate_per_known"),
        ]

    def __str__(self) -> str:
        return f"{self.offering} {self.unit}: {self.amount} per {self.per}"

    def clean(self) -> None:
        """Say beside the field what `save` would refuse."""
        if self.amount is None or self.per is None:
            return
        try:
            self.price()
        except InexactRate as refusal:
            raise ValidationError({"amount": str(refusal)}) from refusal

    def save(self, *args: Any, **options: Any) -> None:
        self.price()
        self._refuse_if_published()
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        self._refuse_if_published()
        return super().delete(*args, **options)

    def price(self) -> UnitPrice:
        """The price as billing reckons with it; `InexactRate` where one unit's price has more than 12 decimals."""
        return UnitPrice.of(self.amount, self.version.price_book.currency, self.per)

    def _refuse_if_published(self) -> None:
        if PriceBookVersion.objects.filter(pk=self.version_id, published_at__isnull=False).exists():
            raise PricesArePublished(f"{self.version} is published and never changes. Publish another version.")


class Plan(models.Model):
    """The price book that a tenant agreed to, from an instant on, until the tenant's next plan begins."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="plans")
    price_book = models.ForeignKey(PriceBook, on_delete=models.PROTECT, related_name="plans")
    starts_at = models.DateTimeField(validators=[on_quarter_hour], help_text="In UTC, at a quarter of an hour.")

    class Meta:
        ordering = ["tenant", "-starts_at"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "starts_at"], name="plan_once_at_an_instant"),
        ]

    def __str__(self) -> str:
        return f"{self.tenant.slug}: {self.price_book.slug} from {self.starts_at:%Y-%m-%d %H:%M} UTC"

    def clean(self) -> None:
        if self.tenant_id and self.price_book_id and self.tenant.currency != self.price_book.currency:
            raise ValidationError(
                {"price_book": f"The tenant pays in {self.tenant.currency}; this book is in another currency."}
            )
