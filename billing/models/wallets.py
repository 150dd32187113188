"""Wallets of prepaid tenants, and the notices that budgets send."""

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from money.fields import MoneyAmountField
from tenants.models import Budget, Tenant


class WalletCredit(models.Model):
    """Money that a prepaid tenant paid in; a negative one takes back. It never changes: a mistake gets a second row."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="wallet_credits")
    amount = MoneyAmountField(help_text="In the tenant's currency; negative to take back.")
    note = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.CheckConstraint(condition=~Q(amount=0), name="wallet_credit_not_zero")]

    def __str__(self) -> str:
        return f"{self.amount.normalize():f} {self.tenant.currency} for {self.tenant.slug}"

    def clean(self) -> None:
        if self.tenant_id and not self.tenant.prepaid:
            raise ValidationError({"tenant": "This tenant is invoiced afterwards. Make it prepaid first."})


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
