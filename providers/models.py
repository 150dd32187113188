"""What is sold, who can answer, and which of them answers for what."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from providers.names import FinalNames, offering_name

TOKENS_MAX = 100_000_000


def _from_to(field: str, lowest: int, highest: int) -> models.CheckConstraint:
    return models.CheckConstraint(
        condition=Q(**{f"{field}__range": (lowest, highest)}),
        name=f"%(app_label)s_%(class)s_{field}",
        violation_error_message=f"{field} is out of bounds. Give a whole number from {lowest:,} to {highest:,}.",
    )


class Upstream(FinalNames):
    """Anything that answers. The only kind so far is a pool of own workers, described in `inference`."""

    class Kind(models.TextChoices):
        POOL = "pool", "pool of own workers"

    final_fields = ("slug", "kind")

    slug = models.SlugField(max_length=100, unique=True)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=20, choices=Kind, default=Kind.POOL)
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="pool"), name="providers_upstream_kind", violation_error_message="kind must be: pool."
            )
        ]

    def __str__(self) -> str:
        return self.slug


class Offering(FinalNames):
    """What is sold: the model name that a caller sends, with its limits in tokens."""

    final_fields = ("name",)

    name = models.CharField(max_length=200, unique=True, validators=[offering_name])
    description = models.CharField(max_length=500, blank=True)
    context_tokens_max = models.PositiveIntegerField(
        default=131_072, validators=[MinValueValidator(1), MaxValueValidator(TOKENS_MAX)]
    )
    output_tokens_max = models.PositiveIntegerField(
        default=32_768, validators=[MinValueValidator(1), MaxValueValidator(TOKENS_MAX)]
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            _from_to("context_tokens_max", 1, TOKENS_MAX),
            _from_to("output_tokens_max", 1, TOKENS_MAX),
        ]

    def __str__(self) -> str:
        return self.name


class Deployment(FinalNames):
    """One offering at one upstream, with its name there and its dialect.

    Deployments of the lowest `priority` number are tried first, and share their requests by `weight`.
    The upstream is final like the name: the cost of recorded usage is looked for there.
    """

    class Dialect(models.TextChoices):
        OPENAI_CHAT = "openai_chat", "OpenAI chat completions"

    final_fields = ("slug", "offering", "upstream")

    slug = models.SlugField(max_length=100, unique=True)
    offering = models.ForeignKey(Offering, on_delete=models.PROTECT, related_name="deployments")
    upstream = models.ForeignKey(Upstream, on_delete=models.PROTECT, related_name="deployments")
    model_name = models.CharField(max_length=200, help_text="The model's name at the upstream.")
    dialect = models.CharField(max_length=30, choices=Dialect, default=Dialect.OPENAI_CHAT)
    priority = models.PositiveSmallIntegerField(default=0, help_text="The lowest number is tried first.")
    weight = models.PositiveIntegerField(default=1, validators=[MinValueValidator(1), MaxValueValidator(1_000)])
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["offering__name", "priority", "slug"]
        constraints = [
            _from_to("weight", 1, 1_000),
            models.CheckConstraint(
                condition=Q(dialect="openai_chat"),
                name="providers_deployment_dialect",
                violation_error_message="dialect must be: openai_chat.",
            ),
        ]

    def __str__(self) -> str:
        return self.slug
