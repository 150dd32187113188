"""The closing of a month for all tenants, as a table of work items."""

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q

from billing.models.invoices import Invoice
from money.fields import MoneyAmountField
from tenants.models import Tenant


class ClosingRun(models.Model):
    """A month that is closed for every tenant. A month has one run, to which tenants are added."""

    month = models.DateField(unique=True, help_text="The month's first day.")
    grace_hours = models.PositiveSmallIntegerField(
        help_text="How long after a tenant's month its draft takes in usage that comes late."
    )
    started_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    started_at = models.DateTimeField()

    class Meta:
        ordering = ["-month"]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"


class ClosingItem(models.Model):
    """A tenant's month in a run. Only `billing.runs` changes it, each time from the state that it was read in."""

    class State(models.TextChoices):
        PENDING = "pending"
        DRAFTED = "drafted"
        FINAL = "final"
        DONE = "done"
        NOTHING = "nothing", "nothing to invoice"
        PARKED = "parked"

    class ParkedFor(models.TextChoices):
        JUMP = "jump", "far above the last"
        NEGATIVE = "negative"
        EMPTY = "empty"
        REFUSED = "refused"
        FAILED = "failed"

    AT_WORK = (State.PENDING, State.DRAFTED, State.FINAL)
    FOR_APPROVAL = (ParkedFor.JUMP, ParkedFor.NEGATIVE, ParkedFor.EMPTY)

    run = models.ForeignKey(ClosingRun, on_delete=models.PROTECT, related_name="items")
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=8, choices=State, default=State.PENDING)
    due_at = models.DateTimeField(help_text="When it is worked at next.")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="How often it was claimed since its last change.")
    claim = models.UUIDField(null=True, help_text="Of the worker that has it.")
    claimed_until = models.DateTimeField(null=True, help_text="When another worker may take it.")
    invoice = models.ForeignKey(Invoice, on_delete=models.SET_NULL, null=True, related_name="+")
    parked_for = models.CharField(max_length=8, choices=ParkedFor, blank=True)
    reason = models.TextField(blank=True, help_text="Why it is parked or waits.")
    approved_gross = MoneyAmountField(null=True, help_text="The approval is for this gross amount and no other.")
    approved_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    approved_at = models.DateTimeField(null=True)
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ["run", "tenant"]
        constraints = [
            models.UniqueConstraint(fields=["run", "tenant"], name="closing_item_once"),
            models.CheckConstraint(
                condition=Q(state="parked") & ~Q(parked_for="") & ~Q(reason="") | ~Q(state="parked") & Q(parked_for=""),
                name="closing_item_parked_for_a_reason",
            ),
            models.CheckConstraint(
                condition=Q(claim=None, claimed_until=None) | Q(claim__isnull=False, claimed_until__isnull=False),
                name="closing_item_claimed_whole",
            ),
            models.CheckConstraint(
                condition=Q(approved_gross=None, approved_by=None, approved_at=None)
                | Q(approved_gross__isnull=False, approved_by__isnull=False, approved_at__isnull=False),
                name="closing_item_approved_whole",
            ),
            models.CheckConstraint(
                condition=Q(invoice__isnull=False) | ~Q(state__in=["final", "done"]),
                name="closing_item_has_its_invoice",
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at", "id"], condition=Q(state__in=["pending", "drafted", "final"]), name="closing_item_due"
            )
        ]

    def __str__(self) -> str:
        return f"{self.run} of {self.tenant.slug}"
