"""Programmes that hand grants to many tenants out of one pool: the right to compute."""

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q

from money.fields import CurrencyField, MoneyAmountField
from tenants.models import Tenant
from tenants.models.parties import COUNTRY, CURRENCY


class Programme(models.Model):
    """So much of the pool for every eligible tenant, once or each month, while the pool lasts."""

    class Every(models.TextChoices):
        ONCE = "once"
        MONTH = "month"

    slug = models.SlugField(unique=True, help_text="Names the programme in addresses. It cannot be changed.")
    name = models.CharField(max_length=200, help_text="As invoices show it.")
    currency = CurrencyField(validators=[CURRENCY])
    pool = MoneyAmountField(help_text="What all grants together may come to. Never below what is granted already.")
    granted = MoneyAmountField(default=0, editable=False, help_text="What they have come to.")
    amount = MoneyAmountField(help_text="What a tenant is granted each time.")
    every = models.CharField(max_length=8, choices=Every, default=Every.ONCE)
    valid_days = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Of a grant that is given once: so many days of the tenant, its first among them; empty: for ever."
        " A monthly one ends with its month.",
    )
    automatic = models.BooleanField(
        default=False, help_text="Every eligible tenant gets it without asking; otherwise its members claim it."
    )
    opens_at = models.DateTimeField()
    closes_at = models.DateTimeField(null=True, blank=True, help_text="Nothing is granted from then on.")
    offerings = ArrayField(
        models.TextField(), default=list, blank=True, help_text="Grants pay for these only; empty: for everything."
    )
    priority = models.SmallIntegerField(default=0, help_text="Of its grants: a lower number is drawn first.")
    countries = ArrayField(
        models.CharField(max_length=2, validators=[COUNTRY]), default=list, blank=True,
        help_text="Tenants of these countries; empty: of all.",
    )  # fmt: skip
    tenants = models.ManyToManyField(
        Tenant, blank=True, related_name="programmes", help_text="These tenants only, where any are named."
    )

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="programme_amount"),
            models.CheckConstraint(
                condition=Q(granted__gte=0, granted__lte=F("pool")), name="programme_pool_not_overdrawn"
            ),
            models.CheckConstraint(condition=Q(every="once") | Q(valid_days=None), name="programme_validity"),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.every == self.Every.MONTH and self.valid_days is not None:
            raise ValidationError({"valid_days": "A monthly grant ends with its month. Leave this empty."})
        if self.pool is not None and self.pool < self.granted:
            raise ValidationError({"pool": f"{self.granted.normalize():f} of it is granted already."})
