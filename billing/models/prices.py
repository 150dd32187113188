"""Price books and plans: what a unit costs, from when, and for whom.

That prices are exact, begin at a quarter of an hour and do not overlap is checked here, for people, and in Postgres
(migrations 0002 and 0011), for good.
"""

from datetime import datetime
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models

from billing.errors import PerIsUnclear, PricesArePublished, PricesRefused, RatesOverlap
from billing.matching import ANY, Match
from billing.periods import is_on_quarter_hour
from billing.price_kinds import Price, PriceKind, exact_money, price_of
from metering.usage import ServiceTier, Unit
from money.amount import decimals
from money.errors import UnknownCurrency
from money.fields import CurrencyField, MoneyAmountField
from tenants.models import CURRENCY, Tenant

STEPS_MAX = 20  # Of one rate.
PER_UNITS = [PriceKind.PER_UNIT, PriceKind.GRADUATED, PriceKind.VOLUME]  # What has a price of one unit.


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
    """The price of one unit of one offering, in one grade and service tier or in any: `amount` for every `per` of them.

    Graduated and volume prices have steps besides: above `above[n]` units a month, it is `amounts_above[n]`. Of a
    package, `per` is how many units it holds. A flat amount is asked once a month, and its `per` is 1.
    """

    class Per(models.IntegerChoices):
        ONE = 1, "1"
        THOUSAND = 1_000, "1,000"
        MILLION = 1_000_000, "1,000,000"

    version = models.ForeignKey(PriceBookVersion, on_delete=models.CASCADE, related_name="rates")
    offering = models.CharField(max_length=200, validators=[RegexValidator(r"\S")])
    unit = models.CharField(max_length=32, choices=[(unit.value, unit.value) for unit in Unit])
    grade = models.CharField(
        max_length=200, default=ANY, blank=True, help_text="A grade's name, or any. Empty: of answers without a grade."
    )
    service_tier = models.CharField(
        max_length=16,
        default=ServiceTier.STANDARD,
        choices=[*((tier.value, tier.value) for tier in ServiceTier), (ANY, "any")],
    )
    kind = models.CharField(
        max_length=16,
        default=PriceKind.PER_UNIT,
        choices=[(kind.value, kind.value.replace("_", " ")) for kind in PriceKind],
    )
    amount = MoneyAmountField(validators=[MinValueValidator(0)])
    per = models.BigIntegerField(default=Per.MILLION, validators=[MinValueValidator(1)])
    above = ArrayField(models.BigIntegerField(), default=list, blank=True, size=STEPS_MAX)
    amounts_above = ArrayField(
        MoneyAmountField(validators=[MinValueValidator(0)]), default=list, blank=True, size=STEPS_MAX
    )

    class Meta:
        ordering = ["version", "offering", "unit", "grade", "service_tier"]
        constraints = [
            models.CheckConstraint(condition=models.Q(amount__gte=0), name="rate_not_negative"),
            models.CheckConstraint(
                condition=models.Q(kind=PriceKind.PACKAGE, per__gte=1)
                | models.Q(kind=PriceKind.FLAT, per=1)
                | models.Q(kind__in=PER_UNITS, per__in=[1, 1_000, 1_000_000]),
                name="rate_per_known",
            ),
            models.CheckConstraint(
                condition=models.Q(service_tier__in=[ANY, *ServiceTier]), name="rate_service_tier_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.match}: {self.amount} per {self.per}"

    @property
    def wording(self) -> str:
        """The rate in a few words, for people."""
        steps = "".join(
            f", above {step:,}: {amount.normalize():f}"
            for step, amount in zip(self.above, self.amounts_above, strict=True)
        )
        per = "a month" if self.kind == PriceKind.FLAT else f"per {self.per:,}"
        return f"{self.get_kind_display()}, {self.match.qualities}: {self.amount.normalize():f} {per}{steps}"

    @property
    def match(self) -> Match:
        """The usage that it prices."""
        return Match(self.offering, self.unit, self.grade, self.service_tier)

    def clean(self) -> None:
        """Say beside the field that this is no price. Overlaps are seen where all rates are: forms, API and `save`."""
        if self.amount is None or self.per is None:
            return
        try:
            self.price()
        except PricesRefused as refusal:
            raise ValidationError({refusal.field: str(refusal)}) from refusal

    def save(self, *args: Any, **options: Any) -> None:
        self.price()
        self._refuse_if_published()
        self._refuse_overlap()
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        self._refuse_if_published()
        return super().delete(*args, **options)

    def price(self) -> Price:
        """The price as billing reckons with it. Raises one of `PricesRefused` where it is none."""
        if self.kind in PER_UNITS and self.per not in self.Per.values:
            raise PerIsUnclear(f"A price per {self.per:,} units is not known. Give it per 1, 1,000 or 1,000,000.")
        if self.kind == PriceKind.FLAT and self.per != 1:
            raise PerIsUnclear("A flat amount is one for all units of a month. Give it per 1.")
        currency = self.version.price_book.currency
        amounts = [exact_money(amount, currency) for amount in (self.amount, *self.amounts_above)]
        return price_of(self.kind, amounts, self.per, self.above)

    def _refuse_overlap(self) -> None:
        """Two at once can pass this, and not Postgres."""
        for other in Rate.objects.filter(version=self.version_id, offering=self.offering, unit=self.unit):
            if other.pk != self.pk and other.match.overlaps(self.match):
                raise RatesOverlap(
                    f"{self.match} meets usage that the rate for {other.match} meets. "
                    "Narrow one of them to another grade or service tier."
                )

    def _refuse_if_published(self) -> None:
        if PriceBookVersion.objects.filter(pk=self.version_id, published_at__isnull=False).exists():
            raise PricesArePublished(f"{self.version} is published and never changes. Publish another version.")


class Plan(models.Model):
    """The price book that a tenant agreed to, from an instant on, until the tenant's next plan begins."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="plans")
    price_book = models.ForeignKey(PriceBook, on_delete=models.PROTECT, related_name="plans")
    terms = models.ForeignKey(
        "billing.PlanTerms",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="plans",
        help_text="Fee, allowance, commitment and the like; empty: nothing but prices.",
    )
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
        if self.tenant_id and self.terms and self.tenant.currency != self.terms.currency:
            raise ValidationError(
                {"terms": f"The tenant pays in {self.tenant.currency}; these terms are in another currency."}
            )
