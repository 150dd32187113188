"""The ledger, which only `billing.ledger` writes and nobody changes, and the payments that are booked in it."""

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q

from billing.bookings import Account
from billing.models.invoices import Invoice
from money.fields import CurrencyField, MoneyAmountField
from tenants.models import Tenant


class Entry(models.Model):
    """One deed in the books. Its postings sum to zero in each currency, which Postgres checks when it commits."""

    class Kind(models.TextChoices):
        INVOICE = "invoice"
        PAYMENT = "payment"
        PAYMENT_REVERSAL = "payment_reversal"
        WALLET_CREDIT = "wallet_credit"
        WALLET_USE = "wallet_use"
        WALLET_EXPIRY = "wallet_expiry"
        WALLET_REFUND = "wallet_refund"
        CREDIT_NOTE = "credit_note"
        WRITE_OFF = "write_off"
        REFUND = "refund"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=24, choices=Kind)
    key = models.CharField(max_length=80, unique=True, help_text="Names the cause, such as invoice:123: booked once.")
    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, null=True, related_name="entries", help_text="Whose open amount it moves."
    )
    occurred_on = models.DateField()
    booked_at = models.DateTimeField()
    memo = models.CharField(max_length=200, blank=True)
    legs = models.PositiveSmallIntegerField(help_text="How many postings it has, so that none is added later.")

    class Meta:
        ordering = ["-id"]
        verbose_name = "ledger entry"
        verbose_name_plural = "ledger entries"
        constraints = [
            models.CheckConstraint(condition=Q(legs__gte=2), name="entry_is_double"),
            models.CheckConstraint(
                condition=Q(
                    kind__in=[
                        "invoice",
                        "payment",
                        "payment_reversal",
                        "wallet_credit",
                        "wallet_use",
                        "wallet_expiry",
                        "wallet_refund",
                        "credit_note",
                        "write_off",
                        "refund",
                    ]
                ),
                name="entry_kind",
            ),
        ]

    def __str__(self) -> str:
        return self.key


class Posting(models.Model):
    """One leg of an entry: a debit where positive, a credit where negative."""

    entry = models.ForeignKey(Entry, on_delete=models.PROTECT, related_name="postings")
    account = models.CharField(max_length=24, choices=[(account.value, account.value) for account in Account])
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    currency = CurrencyField()
    amount = MoneyAmountField(help_text="A debit is positive, a credit negative.")

    class Meta:
        ordering = ["entry", "id"]
        indexes = [models.Index(fields=["tenant", "account", "currency"], name="posting_balance")]
        constraints = [
            models.UniqueConstraint(fields=["entry", "account", "currency"], name="posting_once"),
            models.CheckConstraint(
                condition=Q(account__in=[account.value for account in Account]), name="posting_account"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.amount.normalize():f} {self.currency}"


class Payment(models.Model):
    """Money that came in for an invoice, recorded by hand. It never changes, but may be reversed once."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="payments")
    amount = MoneyAmountField()
    currency = CurrencyField()
    received_on = models.DateField()
    reference = models.CharField(max_length=140, help_text="What the bank calls it. An invoice has each once.")
    recorded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()
    reversed_at = models.DateTimeField(null=True)
    reversed_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    reversal_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["invoice", "reference"], condition=Q(reversed_at=None), name="payment_reference_once"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="payment_positive"),
            models.CheckConstraint(
                condition=Q(reversed_at=None, reversed_by=None, reversal_reason="")
                | (Q(reversed_at__isnull=False, reversed_by__isnull=False) & ~Q(reversal_reason="")),
                name="payment_reversed_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reference} for {self.invoice}"
