"""What a plan asks and gives beside its prices, and coupons.

Terms that a plan names, and coupons that somebody has, never change: here for people, in Postgres for good.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from billing.errors import TermsAreAgreed
from billing.models.prices import known_currency
from billing.terms import Coupon as HeldCoupon
from billing.terms import Included, Terms
from metering.usage import Unit
from money.amount import Money, decimals
from money.errors import Inexact, UnknownCurrency
from money.fields import CurrencyField, MoneyAmountField
from tenants.models import CURRENCY, Tenant

NOT_NEGATIVE = MinValueValidator(0)
PERCENT = [NOT_NEGATIVE, MaxValueValidator(100)]
COMMITMENT_MONTHS_MAX = 36
TRIAL_DAYS_MAX = 366


def refuse_what_cannot_be_paid(row: models.Model, fields: list[str], currency: str) -> None:
    """Say beside its field which amount is finer than its currency can be paid. What is no currency says so itself."""
    try:
        decimals(currency)
    except UnknownCurrency:
        return
    refusals: dict[str, Any] = {}
    for field in fields:
        given = getattr(row, field)
        try:
            if given is not None and Money.of(given, currency) != Money.of(given, currency).rounded():
                refusals[field] = f"{given.normalize():f} {currency} is finer than {currency} can be paid."
        except Inexact as refusal:
            refusals[field] = str(refusal)
    if refusals:
        raise ValidationError(refusals)


class PlanTerms(models.Model):
    """Fee, allowance, discount, minimum, commitment and maximum of plans, by the month unless months are named."""

    class FeeMonths(models.IntegerChoices):
        MONTH = 1, "month"
        QUARTER = 3, "quarter"
        HALF_YEAR = 6, "half-year"
        YEAR = 12, "year"

    name = models.CharField(max_length=100, unique=True, help_text="As the fee is called on invoices.")
    currency = CurrencyField(validators=[CURRENCY, known_currency])
    fee = MoneyAmountField(default=0, validators=[NOT_NEGATIVE], help_text="Asked for at the start of its months.")
    fee_months = models.PositiveSmallIntegerField(choices=FeeMonths, default=FeeMonths.MONTH)
    included_amount = MoneyAmountField(
        default=0, validators=[NOT_NEGATIVE], help_text="So much usage a month costs nothing, whatever it is of."
    )
    discount_percent = models.DecimalField(max_digits=5, decimal_places=2, default=0, validators=PERCENT)
    minimum = MoneyAmountField(default=0, validators=[NOT_NEGATIVE], help_text="What a month's usage costs at least.")
    maximum = MoneyAmountField(
        null=True, blank=True, validators=[NOT_NEGATIVE], help_text="What it costs at most; empty: no bound."
    )
    commitment = MoneyAmountField(
        default=0, validators=[NOT_NEGATIVE], help_text="What is spent at least in the months of the commitment."
    )
    commitment_months = models.PositiveSmallIntegerField(
        default=12, validators=[MinValueValidator(1), MaxValueValidator(COMMITMENT_MONTHS_MAX)]
    )
    trial_days = models.PositiveSmallIntegerField(
        default=0, validators=[MaxValueValidator(TRIAL_DAYS_MAX)], help_text="So many days nothing costs anything."
    )

    AMOUNTS = ["fee", "included_amount", "minimum", "maximum", "commitment"]

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "plan terms"
        constraints = [
            models.CheckConstraint(
                condition=Q(fee__gte=0, included_amount__gte=0, minimum__gte=0, commitment__gte=0),
                name="terms_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(discount_percent__gte=0, discount_percent__lte=100), name="terms_discount_percent"
            ),
            models.CheckConstraint(
                condition=Q(maximum=None) | Q(maximum__gte=F("minimum")),
                name="terms_maximum_above_minimum",
                violation_error_message="The maximum is below the minimum.",
            ),
            models.CheckConstraint(condition=Q(fee_months__in=[1, 3, 6, 12]), name="terms_fee_months_known"),
            models.CheckConstraint(
                condition=Q(commitment_months__gte=1, commitment_months__lte=COMMITMENT_MONTHS_MAX),
                name="terms_commitment_months",
            ),
            models.CheckConstraint(condition=Q(trial_days__lte=TRIAL_DAYS_MAX), name="terms_trial_days"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.currency})"

    def clean(self) -> None:
        refuse_what_cannot_be_paid(self, self.AMOUNTS, self.currency)

    def save(self, *args: Any, **options: Any) -> None:
        self.refuse_if_agreed()
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        self.refuse_if_agreed()
        return super().delete(*args, **options)

    def refuse_if_agreed(self) -> None:
        if self.is_agreed:
            raise TermsAreAgreed(f"A plan names {self}. Write new terms, and let another plan with them follow.")

    @property
    def is_agreed(self) -> bool:
        """Whether a plan names these terms, which keeps them as they are."""
        return bool(self.pk) and self.plans.exists()

    def as_agreed(self) -> Terms:
        """The terms as `billing.statement` reckons with them."""
        money = self._money
        return Terms(
            name=self.name,
            fee=money(self.fee),
            fee_months=self.fee_months,
            included=tuple(self._included()),
            included_amount=money(self.included_amount),
            discount_percent=self.discount_percent,
            minimum=money(self.minimum),
            maximum=None if self.maximum is None else money(self.maximum),
            commitment=money(self.commitment),
            commitment_months=self.commitment_months,
            trial_days=self.trial_days,
        )

    def _money(self, amount: Decimal) -> Money:
        return Money.of(amount, self.currency)

    def _included(self) -> Iterator[Included]:
        """Allowances for one offering come before those for all of them."""
        rows = sorted(self.included.all(), key=lambda row: (row.offering == "", row.offering, row.unit))
        return (Included(row.offering, row.unit, row.quantity) for row in rows)


class IncludedUsage(models.Model):
    """So many units a month cost nothing."""

    terms = models.ForeignKey(PlanTerms, on_delete=models.CASCADE, related_name="included")
    offering = models.CharField(max_length=200, blank=True, help_text="Empty: of all offerings together.")
    unit = models.CharField(max_length=32, choices=[(unit.value, unit.value) for unit in Unit])
    quantity = models.BigIntegerField(validators=[MinValueValidator(1)])

    class Meta:
        ordering = ["terms", "offering", "unit"]
        verbose_name_plural = "included usage"
        constraints = [
            models.UniqueConstraint(fields=["terms", "offering", "unit"], name="included_once_in_terms"),
            models.CheckConstraint(condition=Q(quantity__gte=1), name="included_above_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity:,} {self.unit} of {self.offering or 'all offerings'}"

    def save(self, *args: Any, **options: Any) -> None:
        self.terms.refuse_if_agreed()
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        self.terms.refuse_if_agreed()
        return super().delete(*args, **options)


class Coupon(models.Model):
    """A percentage, or an amount, off what usage costs in each of so many months."""

    code = models.CharField(max_length=40, unique=True)
    name = models.CharField(max_length=100, unique=True, help_text="As it is called on invoices.")
    percent = models.DecimalField(max_digits=5, decimal_places=2, default=0, validators=PERCENT)
    amount = MoneyAmountField(default=0, validators=[NOT_NEGATIVE], help_text="Off each month.")
    currency = CurrencyField(validators=[CURRENCY, known_currency], blank=True, help_text="Of the amount.")
    months = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="How many months; empty: all of them."
    )

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                condition=Q(percent__gt=0, percent__lte=100, amount=0, currency="")
                | Q(percent=0, amount__gt=0) & ~Q(currency=""),
                name="coupon_percent_or_amount",
                violation_error_message="Give a percentage up to 100, or an amount with its currency.",
            ),
            models.CheckConstraint(condition=Q(months=None) | Q(months__gte=1), name="coupon_months"),
        ]

    def __str__(self) -> str:
        return self.code

    def clean(self) -> None:
        if self.currency:
            refuse_what_cannot_be_paid(self, ["amount"], self.currency)

    @property
    def is_held(self) -> bool:
        """Whether a tenant has it, which keeps it as it is."""
        return bool(self.pk) and self.redemptions.exists()


class Redemption(models.Model):
    """A tenant has a coupon, from a month on."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="redemptions")
    coupon = models.ForeignKey(Coupon, on_delete=models.PROTECT, related_name="redemptions")
    first_month = models.DateField(help_text="The first day of the first month that it is used in.")

    class Meta:
        ordering = ["tenant", "first_month", "id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "coupon"], name="coupon_once_for_a_tenant")]

    def __str__(self) -> str:
        return f"{self.tenant.slug}: {self.coupon.code} from {self.first_month:%Y-%m}"

    def as_held(self) -> HeldCoupon:
        """The coupon as `billing.statement` reckons with it."""
        given = self.coupon
        amount = Money.of(given.amount, given.currency or self.tenant.currency)
        return HeldCoupon(given.code, given.name, given.percent, amount, self.first_month, given.months)
