"""What was invoiced. Everything an invoice shows is copied into it; once final, triggers keep it as it is."""

from decimal import Decimal

from django.db import models
from django.db.models import F, Q

from metering.usage import ServiceTier
from money.fields import CurrencyField, MoneyAmountField
from tenants.models import Tenant


class TaxCategory(models.TextChoices):
    """The categories of UNCL5305 that EN 16931 knows and a seller of tokens meets."""

    STANDARD = "S", "standard"
    ZERO = "Z", "zero rate"
    EXEMPT = "E", "exempt"
    REVERSE_CHARGE = "AE", "reverse charge"
    EXPORT = "G", "export outside the EU"
    OUT_OF_SCOPE = "O", "out of scope"


class Period(models.Model):
    """A tenant's month as two UTC instants, and the instant up to which usage had been recorded at its closing."""

    class Status(models.TextChoices):
        OPEN = "open"
        CLOSED = "closed"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    month = models.DateField(help_text="The month's first day.")
    time_zone = models.CharField(max_length=64)
    start = models.DateTimeField()
    end = models.DateTimeField()
    cutoff = models.DateTimeField(help_text="Usage recorded later comes as a correction on a later invoice.")
    status = models.CharField(max_length=8, choices=Status, default=Status.OPEN)

    class Meta:
        ordering = ["tenant", "-month"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "month"], name="period_once"),
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="period_not_empty"),
        ]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"


class Invoice(models.Model):
    """The document of one period, or a credit note over one. A draft has no number; a final one never changes.

    The amounts of a credit note are above zero: it takes back so much of the invoice that it `corrects`.
    """

    class Kind(models.TextChoices):
        INVOICE = "invoice"
        CREDIT_NOTE = "credit_note", "credit note"

    class Status(models.TextChoices):
        DRAFT = "draft"
        FINAL = "final"

    kind = models.CharField(max_length=16, choices=Kind, default=Kind.INVOICE)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="invoices")
    period = models.ForeignKey(Period, on_delete=models.PROTECT, related_name="invoices")
    ordinal = models.PositiveIntegerField(
        null=True, help_text="The tenant's first, second, ... invoice; closings take turns by it."
    )
    corrects = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, related_name="credit_notes", help_text="Of a credit note."
    )
    reason = models.CharField(max_length=300, blank=True, help_text="Of a credit note: why it was given.")
    status = models.CharField(max_length=8, choices=Status, default=Status.DRAFT)
    number = models.CharField(max_length=40, null=True, unique=True)
    issued_on = models.DateField(null=True)
    due_on = models.DateField(null=True)
    finalised_at = models.DateTimeField(null=True)
    usage_until = models.DateTimeField(help_text="The period's end, or the instant of an early closing.")
    closed_early = models.BooleanField(default=False)
    seller = models.JSONField(help_text="The seller at the time, whole.")
    buyer = models.JSONField(help_text="The tenant's legal entity at the time, whole.")
    language = models.CharField(max_length=8, default="en")
    currency = CurrencyField()
    net = MoneyAmountField()
    tax = MoneyAmountField(help_text="The sum of its taxes.")
    gross = MoneyAmountField()
    prepaid = MoneyAmountField(default=0, help_text="How much of the gross amount the tenant's wallet paid.")
    created_at = models.DateTimeField()

    open_amount: Decimal | None  # What the ledger says is still owed, where `balances.with_open_amount` adds it.

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "ordinal"], name="invoice_ordinal"),
            models.UniqueConstraint(fields=["period"], condition=Q(kind="invoice"), name="invoice_once_in_period"),
            models.CheckConstraint(
                condition=Q(kind="invoice", corrects=None, ordinal__isnull=False)
                | Q(kind="credit_note", corrects__isnull=False, ordinal=None) & ~Q(reason=""),
                name="invoice_or_credit_note",
            ),
            models.CheckConstraint(condition=Q(gross=F("net") + F("tax")), name="invoice_adds_up"),
            models.CheckConstraint(
                condition=Q(status="draft", number__isnull=True)
                | Q(
                    status="final",
                    number__isnull=False,
                    issued_on__isnull=False,
                    due_on__isnull=False,
                    finalised_at__isnull=False,
                ),
                name="invoice_numbered_when_final",
            ),
        ]

    def __str__(self) -> str:
        return self.number or f"draft for {self.period}"


class InvoiceLine(models.Model):
    """One printed line: a quantity at one rate or a sum that the plan asks, rounded once to what can be paid."""

    class Kind(models.TextChoices):
        USAGE = "usage"
        FEE = "fee"
        INCLUDED = "included"
        DISCOUNT = "discount"
        COUPON = "coupon"
        MINIMUM = "minimum"
        COMMITMENT = "commitment"
        MAXIMUM = "maximum"
        GRANT = "grant"
        CREDIT = "credit"

    kind = models.CharField(max_length=16, choices=Kind, default=Kind.USAGE)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines")
    corrects = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, related_name="credits", help_text="Of a credit note: which line."
    )
    position = models.PositiveIntegerField()
    description = models.TextField()
    detail = models.CharField(max_length=200, blank=True, help_text="The name of the fee, the coupon, ...")
    month = models.DateField(help_text="First day of the month that the usage belongs to.")
    is_correction = models.BooleanField(help_text="Usage of an earlier month, recorded after that month's closing.")
    project_id = models.BigIntegerField(null=True, help_text="None where it is the tenant's as a whole.")
    project = models.CharField(max_length=200, blank=True)
    offering = models.TextField(blank=True)
    grade = models.TextField(default="", blank=True)
    service_tier = models.TextField(default=ServiceTier.STANDARD)
    unit = models.TextField(blank=True)
    quantity = models.BigIntegerField()
    unit_amount = MoneyAmountField()
    per = models.BigIntegerField()
    is_priced = models.BooleanField(default=True, help_text="Quantity times price; otherwise the amount is given.")
    exact = MoneyAmountField(help_text="The amount before it was rounded.")
    amount = MoneyAmountField()
    tax_category = models.CharField(max_length=2, choices=TaxCategory, default=TaxCategory.STANDARD)
    tax_rate_percent = models.DecimalField(max_digits=5, decimal_places=2, default=0)
    service_start = models.DateTimeField()
    service_end = models.DateTimeField()
    wallet_credit = models.ForeignKey(
        "billing.WalletCredit",
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="Of a grant: the credit that it is drawn from.",
    )

    class Meta:
        ordering = ["invoice", "position"]
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="line_position"),
            models.UniqueConstraint(fields=["invoice", "corrects"], name="line_credited_once_in_a_note"),
            models.CheckConstraint(
                condition=Q(kind="credit", corrects__isnull=False) | ~Q(kind="credit") & Q(corrects=None),
                name="line_credits_a_line",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.position}. {self.description}"


class InvoiceTax(models.Model):
    """The tax on all lines of one category and rate, rounded once."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="taxes")
    category = models.CharField(max_length=2, choices=TaxCategory)
    rate_percent = models.DecimalField(max_digits=5, decimal_places=2)
    net = MoneyAmountField(help_text="The sum of these lines.")
    tax = MoneyAmountField()
    reason = models.TextField(blank=True, help_text="Why no tax is due, where none is.")

    class Meta:
        ordering = ["invoice", "category", "rate_percent"]
        constraints = [
            models.UniqueConstraint(fields=["invoice", "category", "rate_percent"], name="tax_once_in_invoice"),
            models.CheckConstraint(
                condition=Q(category="S", rate_percent__gt=0) | Q(rate_percent=0, tax=0) & ~Q(category="S"),
                name="tax_at_standard_rate_only",
            ),
            models.CheckConstraint(condition=Q(category__in=["S", "Z"]) | ~Q(reason=""), name="tax_none_with_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.category} {self.rate_percent} %"


class InvoiceUsage(models.Model):
    """The annex: how much of each bucket an invoice covers. Over all invoices it says what was ever invoiced."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="usage")
    tenant_id = models.BigIntegerField()
    start = models.DateTimeField()
    project_id = models.BigIntegerField()
    api_key_id = models.BigIntegerField()
    offering = models.TextField()
    deployment = models.TextField()
    grade = models.TextField(default="", blank=True)
    service_tier = models.TextField(default=ServiceTier.STANDARD)
    unit = models.TextField()
    quantity = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "tenant_id",
                    "start",
                    "project_id",
                    "api_key_id",
                    "offering",
                    "deployment",
                    "grade",
                    "service_tier",
                    "unit",
                    "invoice",
                ],
                name="annex_once_in_invoice",
            )
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.unit} of {self.offering} at {self.start:%Y-%m-%d %H:%M}"


class InvoiceCounter(models.Model):
    """The last invoice number handed out in a series and a year."""

    series = models.CharField(max_length=12)
    year = models.PositiveSmallIntegerField()
    last = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["series", "year"], name="counter_once")]

    def __str__(self) -> str:
        return f"{self.series}-{self.year}: {self.last}"


class InvoiceDocument(models.Model):
    """The PDF of a final invoice, byte for byte as it was first rendered."""

    invoice = models.OneToOneField(Invoice, on_delete=models.PROTECT, related_name="document")
    pdf = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    rendered_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.invoice}.pdf"


class Delivery(models.Model):
    """The outbox: an invoice that has to reach somebody through a channel, once."""

    class Channel(models.TextChoices):
        EMAIL = "email"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="deliveries")
    channel = models.CharField(max_length=16, choices=Channel)
    recipient = models.CharField(max_length=254)
    created_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=500, blank=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name_plural = "deliveries"
        constraints = [models.UniqueConstraint(fields=["invoice", "channel"], name="delivery_once")]
        indexes = [models.Index(fields=["next_attempt_at"], condition=Q(sent_at=None), name="delivery_pending")]

    def __str__(self) -> str:
        return f"{self.invoice} by {self.channel} to {self.recipient}"
