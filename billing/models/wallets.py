"""Wallets: credits that tenants bought or were granted, what was drawn from them, and the notices that budgets send."""

from decimal import Decimal

from django.contrib.auth.models import User
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from billing.models.invoices import Invoice
from billing.models.programmes import Programme
from money.fields import MoneyAmountField
from tenants.models import Budget, Tenant


class WalletCredit(models.Model):
    """Credit in a tenant's wallet. It never changes: what happens to it is in its draws.

    *Bought* credit is the tenant's money: it pays invoices. *Granted* credit is given: it lowers them before tax.
    """

    class Kind(models.TextChoices):
        BOUGHT = "bought"
        GRANTED = "granted"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="wallet_credits")
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.BOUGHT)
    amount = MoneyAmountField(help_text="In the tenant's currency.")
    note = models.CharField(max_length=200)
    priority = models.SmallIntegerField(default=0, help_text="A lower number is drawn first, then what expires first.")
    expires_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="It pays what is used before. At a quarter of an hour; empty: it never expires.",
    )
    offerings = ArrayField(
        models.TextField(), default=list, blank=True, help_text="It pays for these only; empty: for everything."
    )
    programme = models.ForeignKey(
        Programme, on_delete=models.PROTECT, null=True, editable=False, related_name="credits"
    )
    granted_for = models.DateField(
        null=True, editable=False, help_text="The first day of the month that a programme granted it for."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    left: Decimal  # What was not drawn yet, where `wallet_reading.with_left` adds it.

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=~Q(amount=0), name="wallet_credit_not_zero"),
            models.CheckConstraint(
                condition=Q(kind="bought", programme=None) | Q(kind="granted", amount__gt=0), name="wallet_credit_kind"
            ),
            models.CheckConstraint(
                condition=Q(programme=None, granted_for=None) | Q(programme__isnull=False, granted_for__isnull=False),
                name="wallet_credit_of_programme",
            ),
            models.UniqueConstraint(fields=["programme", "tenant", "granted_for"], name="grant_once"),
        ]

    def __str__(self) -> str:
        return f"{self.amount.normalize():f} {self.tenant.currency} for {self.tenant.slug}"

    def clean(self) -> None:
        if self.tenant_id and self.kind == self.Kind.BOUGHT and not self.tenant.prepaid:
            raise ValidationError({"tenant": "This tenant is invoiced afterwards. Make it prepaid first."})


class WalletDraw(models.Model):
    """So much was taken from a credit, or given back to it where below zero. It never changes."""

    class Kind(models.TextChoices):
        USE = "use", "used on an invoice"
        EXPIRY = "expiry", "expired"
        REFUND = "refund", "refunded"
        NETTED = "netted", "netted with a credit below zero"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    credit = models.ForeignKey(WalletCredit, on_delete=models.PROTECT, related_name="draws")
    kind = models.CharField(max_length=8, choices=Kind)
    amount = MoneyAmountField()
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, null=True, related_name="wallet_draws")
    reason = models.CharField(max_length=200, blank=True)
    recorded_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(amount=0), name="draw_not_zero"),
            models.CheckConstraint(
                condition=Q(kind="use", invoice__isnull=False)
                | Q(kind__in=["expiry", "refund"], invoice=None, amount__gt=0)
                | Q(kind="netted", invoice=None),
                name="draw_kind",
            ),
            models.CheckConstraint(condition=~Q(kind="refund", reason=""), name="draw_refund_with_reason"),
            models.UniqueConstraint(fields=["invoice", "credit"], name="draw_once_in_invoice"),
        ]

    def __str__(self) -> str:
        return f"{self.amount.normalize():f} {self.kind}"


class BudgetNotice(models.Model):
    """The outbox of budgets: in this window, the budget reached this percentage. Once each."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="+")
    window_start_s = models.BigIntegerField(help_text="Seconds since the epoch.")
    percent = models.PositiveSmallIntegerField()
    recipient = models.EmailField()
    created_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=500, blank=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["budget", "window_start_s", "percent"], name="budget_notice_once")
        ]
        indexes = [models.Index(fields=["next_attempt_at"], condition=Q(sent_at=None), name="budget_notice_pending")]

    def __str__(self) -> str:
        return f"{self.budget}: {self.percent} %"
