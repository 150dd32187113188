"""What a tenant, a project or a key may use: limits, which hold at any moment, and budgets, which hold in a window."""

import ipaddress
from decimal import Decimal
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from money.fields import MoneyAmountField
from tenants.models.parties import ApiKey, Project, Tenant

# Gateways count money in 10^-9 of the currency, and their counters hold 2^53 exactly.
AMOUNT_MAX = Decimal(9_000_000)
COUNT_MAX = 9_000_000_000_000_000

COUNT = [MinValueValidator(1), MaxValueValidator(COUNT_MAX)]
LEVEL = ["tenant", "project", "api_key"]


def network(text: str) -> None:
    """Refuse what is neither an address nor a network without host bits."""
    try:
        ipaddress.ip_network(text)
    except ValueError as problem:
        raise ValidationError(f"{problem}. Give an address or a network, such as 192.0.2.0/24.") from problem


class Level(models.Model):
    """Whom a row is about: the tenant as a whole, one of its projects, or one key."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    api_key = models.ForeignKey(
        ApiKey, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name="API key"
    )

    class Meta:
        abstract = True

    @property
    def level(self) -> str:
        if self.api_key is not None:
            return f"key {self.api_key.prefix}"
        return f"project {self.project.slug}" if self.project is not None else f"tenant {self.tenant.slug}"

    def clean(self) -> None:
        if self.project is not None and self.api_key is not None:
            raise ValidationError({"project": "Give a project or a key, not both: a key has its project."})
        if self.project is not None and self.project.tenant_id != self.tenant_id:
            raise ValidationError({"project": "This project is another tenant's. Give one of this tenant."})
        if self.api_key is not None and self.api_key.project.tenant_id != self.tenant_id:
            raise ValidationError({"api_key": "This key is another tenant's. Give one of this tenant."})


class Limit(Level):
    """What holds at any moment. An empty field limits nothing. Limits of several levels hold all at once."""

    requests_per_minute = models.BigIntegerField(null=True, blank=True, validators=COUNT)
    tokens_per_minute = models.BigIntegerField(null=True, blank=True, validators=COUNT)
    parallel_requests = models.BigIntegerField(null=True, blank=True, validators=COUNT)
    models_allowed = ArrayField(
        models.CharField(max_length=200), null=True, blank=True, help_text="Names with commas between; empty: all."
    )
    ip_allowed = ArrayField(
        models.CharField(max_length=43, validators=[network]), null=True, blank=True,
        help_text="Addresses or networks with commas between; empty: all.",
    )  # fmt: skip
    expires_at = models.DateTimeField(null=True, blank=True, help_text="From then on its keys are turned away.")

    class Meta:
        ordering = ["tenant", "project", "api_key"]
        constraints = [
            models.UniqueConstraint(fields=LEVEL, nulls_distinct=False, name="limit_once_a_level"),
            models.CheckConstraint(condition=Q(project=None) | Q(api_key=None), name="limit_one_level"),
            models.CheckConstraint(
                condition=Q(requests_per_minute=None) | Q(requests_per_minute__range=(1, COUNT_MAX)),
                name="limit_requests_per_minute",
            ),
            models.CheckConstraint(
                condition=Q(tokens_per_minute=None) | Q(tokens_per_minute__range=(1, COUNT_MAX)),
                name="limit_tokens_per_minute",
            ),
            models.CheckConstraint(
                condition=Q(parallel_requests=None) | Q(parallel_requests__range=(1, COUNT_MAX)),
                name="limit_parallel_requests",
            ),
        ]

    def __str__(self) -> str:
        return f"Limits of {self.level}"

    def clean(self) -> None:
        super().clean()
        self.models_allowed = self.models_allowed or None
        self.ip_allowed = self.ip_allowed or None


class Budget(Level):
    """How much may be used in a window: of money or of tokens. A hard one refuses, a soft one only notifies."""

    class Window(models.TextChoices):
        DAY = "day"
        MONTH = "month"
        TOTAL = "total", "in total"

    class Kind(models.TextChoices):
        MONEY = "money"
        TOKENS = "tokens"

    window = models.CharField(max_length=8, choices=Window, help_text="Days and months of the tenant's time zone.")
    kind = models.CharField(max_length=8, choices=Kind)
    amount = MoneyAmountField(
        null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(AMOUNT_MAX)],
        help_text="Of a budget of money, in the tenant's currency.",
    )  # fmt: skip
    tokens = models.BigIntegerField(
        null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(COUNT_MAX)],
        help_text="Of a budget of tokens, input and output together.",
    )  # fmt: skip
    hard = models.BooleanField(default=True, help_text="Refuse what it does not afford.")
    notify_at_percent = ArrayField(
        models.PositiveSmallIntegerField(validators=[MinValueValidator(1), MaxValueValidator(1000)]),
        default=list, blank=True,
        help_text="Write to the tenant at these percentages, once each in a window: 80,100.",
    )  # fmt: skip
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    counted_at = models.DateTimeField(
        null=True, editable=False, help_text="Since when gateways heed it: when what was used before was counted."
    )

    class Meta:
        ordering = ["tenant", "project", "api_key", "window", "kind"]
        constraints = [
            models.UniqueConstraint(
                fields=[*LEVEL, "window", "kind", "hard"], nulls_distinct=False, name="budget_once_a_level"
            ),
            models.CheckConstraint(condition=Q(project=None) | Q(api_key=None), name="budget_one_level"),
            models.CheckConstraint(condition=Q(window__in=["day", "month", "total"]), name="budget_window_known"),
            models.CheckConstraint(
                condition=Q(kind="money", tokens=None, amount__isnull=False, amount__range=(0, AMOUNT_MAX))
                | Q(kind="tokens", amount=None, tokens__isnull=False, tokens__range=(0, COUNT_MAX)),
                name="budget_of_money_or_tokens",
            ),
        ]

    def __str__(self) -> str:
        return f"Budget of {self.level}: {self.kind}, {self.get_window_display()}"

    def clean(self) -> None:
        super().clean()
        wanted, other = ("amount", "tokens") if self.kind == self.Kind.MONEY else ("tokens", "amount")
        if getattr(self, wanted) is None:
            raise ValidationError({wanted: f"Give the {wanted} that this budget of {self.kind} affords."})
        if getattr(self, other) is not None:
            raise ValidationError({other: f"Leave this empty: the budget is one of {self.kind}."})

    def save(self, *args: Any, **options: Any) -> None:
        self.notify_at_percent = sorted(set(self.notify_at_percent))
        super().save(*args, **options)
