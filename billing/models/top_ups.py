"""When a wallet runs low: at which point, and the order that asks for the next payment."""

from django.db import models
from django.db.models import Q

from billing.models.wallets import WalletCredit
from money.fields import CurrencyField, MoneyAmountField
from tenants.models import Tenant


class TopUpRule(models.Model):
    """Below `threshold`, an order over `amount` goes out by mail. One at a time."""

    tenant = models.OneToOneField(Tenant, on_delete=models.CASCADE, related_name="top_up_rule")
    threshold = MoneyAmountField(help_text="Of what the wallet still affords before tax, in the tenant's currency.")
    amount = MoneyAmountField(help_text="What is ordered each time.")
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["tenant"]
        constraints = [
            models.CheckConstraint(condition=Q(threshold__gte=0, amount__gt=0), name="top_up_above_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.tenant.slug}: {self.amount.normalize():f} below {self.threshold.normalize():f}"


class TopUpOrder(models.Model):
    """A request to pay so much into a wallet, and the outbox of its mail. Paid by a bought credit that names it."""

    class Status(models.TextChoices):
        OPEN = "open"
        PAID = "paid"
        CANCELLED = "cancelled"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="top_up_orders")
    amount = MoneyAmountField()
    currency = CurrencyField()
    status = models.CharField(max_length=16, choices=Status, default=Status.OPEN)
    credit = models.OneToOneField(
        WalletCredit, on_delete=models.PROTECT, null=True, related_name="order", help_text="What was paid for it."
    )
    affordable = MoneyAmountField(help_text="What the wallet still afforded when it was ordered.")
    recipient = models.EmailField()
    created_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=500, blank=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["tenant"], condition=Q(status="open"), name="top_up_order_one_open"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="top_up_order_above_zero"),
            models.CheckConstraint(
                condition=Q(status="paid", credit__isnull=False) | ~Q(status="paid") & Q(credit=None),
                name="top_up_order_paid_by_credit",
            ),
        ]
        indexes = [models.Index(fields=["next_attempt_at"], condition=Q(sent_at=None), name="top_up_order_pending")]

    @property
    def reference(self) -> str:
        """By which a transfer is told to belong to it."""
        return f"TOPUP-{self.pk}"

    def __str__(self) -> str:
        return f"{self.reference} over {self.amount.normalize():f} {self.currency}"
