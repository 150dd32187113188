"""Who is calling and who pays: tenants, their projects, their people and their keys."""

import zoneinfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Func
from django.db.models.lookups import Exact
from django.utils import timezone

from tenants.legal_address import address_problem, country_problem
from tenants.tax_numbers import NotATaxNumber, checked

CURRENCY = RegexValidator(r"^[A-Z]{3}\Z", "Give the three letters of ISO 4217, such as EUR.")
COUNTRY = RegexValidator(r"^[A-Z]{2}\Z", "Give the two letters of ISO 3166, such as DE.")


def time_zone(name: str) -> None:
    """Refuse what is not a name of the IANA time zone database."""
    if name not in zoneinfo.available_timezones():
        raise ValidationError(f"{name} is no IANA time zone. Give one such as Europe/Berlin.")


def legal_tax_number(country: str, address_lines: str, tax_number: str) -> str:
    """The tax number as it is kept; `ValidationError` by field where country, address or number cannot be ones."""
    problems = {"country": country_problem(country), "address_lines": address_problem(country, address_lines)}
    found = {field: problem for field, problem in problems.items() if problem is not None}
    if found:
        raise ValidationError(found)
    try:
        return checked(country, tax_number)
    except NotATaxNumber as refusal:
        raise ValidationError({"tax_number": str(refusal)}) from refusal


class Tenant(models.Model):
    """Who pays. The address is what the law wants on an invoice, so it is the legal one."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"

    class CountersAway(models.TextChoices):
        REFUSE = "refuse", "refuse"
        WITHIN_LEASE = "within_lease", "go on within what gateways have leased"

    slug = models.SlugField(unique=True, help_text="Names the tenant in addresses and exports. It cannot be changed.")
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=16, choices=Status, default=Status.ACTIVE)
    currency = models.CharField(max_length=3, default="EUR", validators=[CURRENCY])
    time_zone = models.CharField(
        max_length=64, default="UTC", validators=[time_zone], help_text="Where the tenant's months and days begin."
    )
    legal_name = models.CharField(max_length=200)
    address_lines = models.TextField(help_text="Street, postal code and town, one a line.")
    country = models.CharField(max_length=2, validators=[COUNTRY])
    tax_number = models.CharField(
        max_length=40, blank=True, help_text="The VAT id where there is one, such as DE136695976: it decides the tax."
    )
    tax_rate_percent = models.DecimalField(
        max_digits=5,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text="Leave it empty, and the law's rules decide. What is entered here goes before them.",
    )
    tax_note = models.CharField(
        max_length=300, blank=True, help_text="Of a rate of 0 that is entered: why no tax is due, as it is printed."
    )
    invoice_email = models.EmailField()
    language = models.CharField(max_length=8, default="en")
    prepaid = models.BooleanField(default=False, help_text="May use what its wallet holds, and no more.")
    when_counters_away = models.CharField(
        max_length=16,
        choices=CountersAway,
        default=CountersAway.REFUSE,
        help_text="What gateways do with its limited requests while they cannot reach Valkey.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(tax_rate_percent__gte=0, tax_rate_percent__lte=100), name="tenant_tax_rate_percent"
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse beside its field what could not stand on an invoice, and keep a VAT id in its short form."""
        self.address_lines = "\n".join(self.address_lines.splitlines())  # Browsers end lines otherwise.
        self.tax_number = legal_tax_number(self.country, self.address_lines, self.tax_number)


class Project(models.Model):
    """A tenant's unit of budget."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="projects")
    slug = models.SlugField()
    name = models.CharField(max_length=200)

    class Meta:
        ordering = ["tenant", "slug"]
        constraints = [models.UniqueConstraint(fields=["tenant", "slug"], name="project_slug_in_tenant")]

    def __str__(self) -> str:
        return f"{self.tenant.slug}/{self.slug}"


class Member(models.Model):
    """A person of the tenant."""

    class Role(models.TextChoices):
        OWNER = "owner"
        MEMBER = "member"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role, default=Role.MEMBER)

    class Meta:
        ordering = ["tenant", "user"]
        constraints = [models.UniqueConstraint(fields=["tenant", "user"], name="member_once_in_tenant")]

    def __str__(self) -> str:
        return f"{self.user} of {self.tenant.slug}"


class ApiKey(models.Model):
    """A credential of a project: its digest, and as much of the secret as tells it from others."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="keys")
    name = models.CharField(max_length=100)
    reports_usage = models.BooleanField(
        default=False,
        db_default=False,
        help_text="May report usage that was counted elsewhere and correct it. Whoever may do that can lower an"
        " invoice: give it to the operator's own meters, never to an application.",
    )
    prefix = models.CharField(max_length=16, editable=False)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(
                condition=Exact(Func("digest", function="octet_length", output_field=models.IntegerField()), 32),
                name="apikey_digest_is_sha256",
            )
        ]

    def __str__(self) -> str:
        return f"{self.prefix}... ({self.name})"
