"""What is sold, who can answer, and which of them answers for what."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from providers.names import FinalNames, offering_name

TOKENS_MAX = 100_000_000
TIMEOUT_S_MAX = 3_600
PREFIX_BYTES_MAX = 65_536
QUEUE_MAX = 1_000_000
COST_MAX = 1_000_000_000


def _from_to(field: str, lowest: int, highest: int) -> models.CheckConstraint:
    return models.CheckConstraint(
        condition=Q(**{f"{field}__range": (lowest, highest)}),
        name=f"%(app_label)s_%(class)s_{field}",
        violation_error_message=f"{field} is out of bounds. Give a whole number from {lowest:,} to {highest:,}.",
    )


def _timeout_s(help_text: str) -> "models.PositiveSmallIntegerField[int | None, int | None]":
    return models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(TIMEOUT_S_MAX)],
        help_text=f"{help_text}, in seconds. Empty: as long as the gateway's setting says.",
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

    Deployments of the lowest `priority` number are tried first, the cheapest of them before the others; those of one
    cost share their requests by `weight`. The upstream is final like the name: the cost of recorded usage is looked
    for there.
    """

    class Dialect(models.TextChoices):
        OPENAI = "openai", "OpenAI: chat, completions, embeddings"

    final_fields = ("slug", "offering", "upstream")

    slug = models.SlugField(max_length=100, unique=True)
    offering = models.ForeignKey(Offering, on_delete=models.PROTECT, related_name="deployments")
    upstream = models.ForeignKey(Upstream, on_delete=models.PROTECT, related_name="deployments")
    model_name = models.CharField(max_length=200, help_text="The model's name at the upstream.")
    dialect = models.CharField(max_length=30, choices=Dialect, default=Dialect.OPENAI)
    priority = models.PositiveSmallIntegerField(default=0, help_text="The lowest number is tried first.")
    relative_cost = models.PositiveIntegerField(
        default=0,
        validators=[MaxValueValidator(COST_MAX)],
        help_text="What it costs compared with the others of its priority, in any unit: the cheapest is tried first.",
    )
    weight = models.PositiveIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(1_000)],
        help_text="Its share of the requests among the deployments of the same priority and cost.",
    )
    overflow_queue_max = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(QUEUE_MAX)],
        help_text="When more requests than this wait at its workers, further ones go to the deployments behind it, and "
        "come back only where none of those can be reached. Empty: its queue may grow.",
    )
    prefix_bytes = models.PositiveIntegerField(
        default=1_024,
        validators=[MaxValueValidator(PREFIX_BYTES_MAX)],
        help_text="Prompts that begin with the same so many bytes go to the same worker, where their beginning is "
        "cached, unless it has far more to do than the others. 0: to the worker with the least to do.",
    )
    connect_timeout_s = _timeout_s("How long connecting to a worker may take")
    first_byte_timeout_s = _timeout_s("How long a worker may take to the first byte of its answer")
    idle_timeout_s = _timeout_s("How long a worker may be silent within an answer")
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["offering__name", "priority", "slug"]
        constraints = [
            _from_to("weight", 1, 1_000),
            _from_to("relative_cost", 0, COST_MAX),
            _from_to("overflow_queue_max", 0, QUEUE_MAX),
            _from_to("prefix_bytes", 0, PREFIX_BYTES_MAX),
            _from_to("connect_timeout_s", 1, TIMEOUT_S_MAX),
            _from_to("first_byte_timeout_s", 1, TIMEOUT_S_MAX),
            _from_to("idle_timeout_s", 1, TIMEOUT_S_MAX),
            models.CheckConstraint(
                condition=Q(dialect="openai"),
                name="providers_deployment_dialect",
                violation_error_message="dialect must be: openai.",
            ),
        ]

    def __str__(self) -> str:
        return self.slug
