"""Our own GPUs: what they cost, which pools they form, who works in them, and what each hour of a pool cost."""

from datetime import timedelta
from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from inference import limits
from inference.allocation import IdlePolicy
from money.fields import CurrencyField, MoneyAmountField
from providers.models import Upstream
from providers.names import FinalNames

HOUR = timedelta(hours=1)
IDLE_POLICIES = [
    (IdlePolicy.UNALLOCATED.value, "idle time stays with the operator"),
    (IdlePolicy.PROPORTIONAL.value, "idle time is spread over the hour's users"),
]

currency_code = RegexValidator(r"\A[A-Z]{3}\Z", "Give a currency by its three capital letters (ISO 4217), such as USD.")
worker_address = RegexValidator(
    r"\Ahttps?://([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?\Z",
    "Give scheme, host and port only, without a path or a closing slash, such as http://127.0.0.1:9101.",
)


def _holds(name: str, condition: Q, remedy: str) -> models.CheckConstraint:
    return models.CheckConstraint(
        condition=condition, name=f"%(app_label)s_%(class)s_{name}", violation_error_message=remedy
    )


def _figure(digits: int, places: int, help_text: str, *, default: str = "0") -> "models.DecimalField[Decimal, Decimal]":
    """A cost figure that is never negative; `_never_negative` has the database check the same."""
    return models.DecimalField(
        max_digits=digits,
        decimal_places=places,
        default=Decimal(default),
        validators=[MinValueValidator(0)],
        help_text=help_text,
    )


def _never_negative(*fields: str) -> list[models.CheckConstraint]:
    return [_holds(field, Q(**{f"{field}__gte": 0}), f"{field} is negative. Give zero or more.") for field in fields]


class Hardware(models.Model):
    """A GPU type as somebody owns or rents it: every figure that makes up the cost of one device for one hour.

    Money is in `currency`, for one device. `source`, `status` and `as_of` say where the figures come from.
    """

    class Ownership(models.TextChoices):
        BOUGHT = "bought", "bought"
        RENTED = "rented", "rented by the hour"

    class Status(models.TextChoices):
        MEASURED = "measured", "measured"
        VENDOR = "vendor", "said by the vendor"
        SECONDARY = "secondary", "reported by others"
        ESTIMATE = "estimate", "estimated"

    name = models.CharField(max_length=100, unique=True, help_text="Device and terms: H100 SXM, rented for a year.")
    device = models.CharField(max_length=60, help_text="The GPU type, such as H100 SXM.")
    ownership = models.CharField(max_length=10, choices=Ownership)
    currency = CurrencyField(default="USD", validators=[currency_code])

    rent_per_hour = _figure(18, 6, "Rented: the price of one device for one hour.")

    capex = _figure(18, 2, "Bought: the price of one device with its share of server and network.")
    life_months = models.PositiveSmallIntegerField(
        default=48,
        validators=[MinValueValidator(1), MaxValueValidator(limits.LIFE_MONTHS_MAX)],
        help_text="Bought: months of use.",
    )
    residual_percent = _figure(5, 2, "Bought: what it sells for at the end, in percent of its price.")
    capital_percent_per_year = _figure(5, 2, "Bought: cost of capital a year; a twelfth of it counts a month.")
    availability_percent = _figure(5, 2, "Bought: share of all hours in which it can work.", default="100")

    power_idle_kw = _figure(9, 4, "Power drawn when idle. Zero where the rent includes it.")
    power_load_kw = _figure(9, 4, "Power drawn at full load. Zero where the rent includes it.")
    pue = _figure(5, 3, "Power usage effectiveness of the data centre, 1 or more.", default="1")
    electricity_per_kwh = _figure(12, 6, "Price of a kilowatt-hour.")
    colocation_per_kw_month = _figure(12, 4, "Colocation: price of a kilowatt of load power for a month.")
    opex_per_year = _figure(18, 2, "Staff, maintenance, licences and spares a year, for one device.")

    source = models.CharField(max_length=300, help_text="Who says so.")
    status = models.CharField(max_length=10, choices=Status, default=Status.ESTIMATE)
    as_of = models.DateField(help_text="The date of the figures.")

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "hardware"
        constraints = [
            _holds("ownership", Q(ownership__in=("bought", "rented")), "ownership must be: bought or rented."),
            _holds(
                "rent_when_rented",
                Q(ownership="bought", rent_per_hour=0) | Q(ownership="rented", rent_per_hour__gt=0),
                "rent_per_hour must be above zero for rented hardware, and zero for bought hardware.",
            ),
            _holds(
                "capex_when_bought",
                Q(ownership="bought", capex__gt=0) | Q(ownership="rented", capex=0),
                "capex must be above zero for bought hardware, and zero for rented hardware.",
            ),
            _holds(
                "life",
                Q(life_months__range=(1, limits.LIFE_MONTHS_MAX)),
                f"life_months is out of bounds. Give 1 to {limits.LIFE_MONTHS_MAX} months.",
            ),
            _holds("residual", Q(residual_percent__range=(0, 100)), "residual_percent must be 0 to 100."),
            _holds(
                "availability",
                Q(availability_percent__gt=0, availability_percent__lte=100),
                "availability_percent must be above 0 and at most 100.",
            ),
            _holds("pue", Q(pue__gte=1), "pue is below 1, which no data centre reaches. Give 1 or more."),
            _holds(
                "power",
                Q(power_idle_kw__gte=0, power_load_kw__gte=F("power_idle_kw")),
                "power_load_kw must be at least power_idle_kw, and neither below zero.",
            ),
            *_never_negative(
                "capital_percent_per_year", "electricity_per_kwh", "colocation_per_kw_month", "opex_per_year"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Pool(FinalNames):
    """Devices of one kind behind one upstream, which is final: the cost of its recorded usage is looked for here.

    A token's device time is calibrated by two figures: nanoseconds of one device for a token of input that was not
    in the cache, and for a token of output.
    """

    final_fields = ("upstream",)

    upstream = models.OneToOneField(Upstream, on_delete=models.PROTECT, related_name="pool")
    hardware = models.ForeignKey(Hardware, on_delete=models.PROTECT, related_name="pools")
    devices = models.PositiveIntegerField(validators=[MinValueValidator(1), MaxValueValidator(limits.DEVICES_MAX)])
    input_ns_per_token = models.PositiveIntegerField(validators=[MaxValueValidator(limits.NS_PER_TOKEN_MAX)])
    output_ns_per_token = models.PositiveIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(limits.NS_PER_TOKEN_MAX)]
    )
    idle_policy = models.CharField(max_length=20, choices=IDLE_POLICIES, default=IdlePolicy.UNALLOCATED.value)
    created_at = models.DateTimeField(default=timezone.now, help_text="The pool costs money from this hour on.")

    class Meta:
        ordering = ["upstream__slug"]
        constraints = [
            _holds(
                "devices",
                Q(devices__range=(1, limits.DEVICES_MAX)),
                f"devices is out of bounds. Give 1 to {limits.DEVICES_MAX:,}.",
            ),
            _holds(
                "calibration",
                Q(
                    input_ns_per_token__range=(0, limits.NS_PER_TOKEN_MAX),
                    output_ns_per_token__range=(1, limits.NS_PER_TOKEN_MAX),
                ),
                "input_ns_per_token and output_ns_per_token must be at most "
                f"{limits.NS_PER_TOKEN_MAX:,} ns, and output_ns_per_token at least 1.",
            ),
            _holds(
                "idle_policy",
                Q(idle_policy__in=("unallocated", "proportional")),
                "idle_policy must be: unallocated or proportional.",
            ),
        ]

    def __str__(self) -> str:
        return self.upstream.slug


class Worker(models.Model):
    """One engine process of a pool. An engine of the kind "simulator" computes nothing and is labelled so."""

    class Engine(models.TextChoices):
        SIMULATOR = "simulator", "simulated"
        VLLM = "vllm", "vLLM"

    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="workers")
    base_url = models.CharField(max_length=200, unique=True, validators=[worker_address])
    engine = models.CharField(max_length=20, choices=Engine)
    requests_running_max = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(limits.REQUESTS_RUNNING_MAX)],
        help_text="How many requests the engine works on at once (vLLM: --max-num-seqs); more wait in its queue. "
        "Empty: the gateway goes by the queue that the engine reports.",
    )
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["base_url"]
        constraints = [
            _holds(
                "requests_running_max",
                Q(requests_running_max__range=(1, limits.REQUESTS_RUNNING_MAX)),
                f"requests_running_max is out of bounds. Give 1 to {limits.REQUESTS_RUNNING_MAX:,}.",
            ),
            _holds("engine", Q(engine__in=("simulator", "vllm")), "engine must be: simulator or vllm."),
        ]

    def __str__(self) -> str:
        return f"{self.base_url} (simulated)" if self.engine == self.Engine.SIMULATOR else self.base_url


class PoolHour(models.Model):
    """What one hour of a pool cost, and how much of it was allocated to usage.

    `basis` freezes, at the first computation, every figure that the cost follows from; only usage that arrives later
    changes the row afterwards, never a new price. Written by `inference.pool_hours` alone.
    """

    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="hours")
    hour_start = models.DateTimeField()
    currency = CurrencyField()
    cost = MoneyAmountField()
    allocated = MoneyAmountField()
    unallocated = MoneyAmountField()
    device_ns_used = models.DecimalField(max_digits=30, decimal_places=0)
    device_ns_available = models.DecimalField(max_digits=30, decimal_places=0)
    basis = models.JSONField()
    computed_at = models.DateTimeField()

    class Meta:
        ordering = ["-hour_start", "pool_id"]
        constraints = [
            models.UniqueConstraint(fields=["pool", "hour_start"], name="inference_poolhour_once"),
            _holds(
                "whole",
                Q(cost=F("allocated") + F("unallocated")),
                "allocated and unallocated must add up to cost.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pool} {self.hour_start:%Y-%m-%d %H:%M}"

    @property
    def provisional(self) -> bool:
        """Computed before the hour was over."""
        return self.computed_at < self.hour_start + HOUR

    @property
    def overcommitted(self) -> bool:
        """More device time used than there was: the calibration overstates what a token takes."""
        return self.device_ns_used > self.device_ns_available


class CostShare(models.Model):
    """The part of a pool-hour's cost that one group of usage carries. Tenant and project are ids, as in a bucket."""

    pool_hour = models.ForeignKey(PoolHour, on_delete=models.CASCADE, related_name="shares")
    tenant_id = models.BigIntegerField()
    project_id = models.BigIntegerField()
    offering = models.CharField(max_length=200)
    deployment = models.CharField(max_length=100)
    billed = models.BooleanField()
    device_ns = models.DecimalField(max_digits=30, decimal_places=0)
    cost = MoneyAmountField()

    class Meta:
        ordering = ["pool_hour_id", "tenant_id", "project_id", "offering", "deployment", "-billed"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "pool_hour", "project_id", "offering", "deployment", "billed"],
                name="inference_costshare_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.pool_hour}: tenant {self.tenant_id}, {self.offering}"


class WorkerReading(models.Model):
    """What a worker's engine said of its own token counters, or why it could not be read.

    Counters begin at zero with the engine's process. Only inference/engine_readings.py writes and deletes these.
    """

    worker = models.ForeignKey(Worker, on_delete=models.CASCADE, related_name="readings")
    at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, help_text="When the engine's process began; null: it does not say.")
    prompt_tokens = models.BigIntegerField(null=True)
    generation_tokens = models.BigIntegerField(null=True)
    engine = models.CharField(max_length=40, blank=True, help_text="By whose names the counters were found.")
    problem = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-at"]
        indexes = [models.Index(fields=["worker", "at"], name="reading_worker_at")]
        constraints = [
            _holds(
                "counts_or_problem",
                Q(problem="", prompt_tokens__gte=0, generation_tokens__gte=0)
                | (~Q(problem="") & Q(prompt_tokens=None, generation_tokens=None)),
                "A reading has both counts or a problem.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.worker} {self.at:%Y-%m-%d %H:%M:%S}"


class EngineHour(models.Model):
    """What the engines of a pool counted within an hour, beside our events. Written by inference.engine_hours."""

    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="engine_hours")
    hour_start = models.DateTimeField()
    engine_input = models.BigIntegerField()
    engine_output = models.BigIntegerField()
    our_input = models.BigIntegerField()
    our_output = models.BigIntegerField()
    drifts = models.BooleanField(help_text="Further apart than what is tolerated.")
    counters = models.CharField(max_length=200, blank=True, help_text="Whose names of counters were found.")
    workers = models.IntegerField()
    readings = models.IntegerField()
    restarts = models.IntegerField(help_text="What an engine counted after its last reading before each is not known.")
    gap_s = models.IntegerField(help_text="Seconds in which a worker was not read, over all workers.")
    computed_at = models.DateTimeField()

    class Meta:
        ordering = ["-hour_start", "pool_id"]
        verbose_name_plural = "engine reconciliation"
        constraints = [models.UniqueConstraint(fields=["pool", "hour_start"], name="inference_enginehour_once")]

    def __str__(self) -> str:
        return f"{self.pool} {self.hour_start:%Y-%m-%d %H:%M}"

    @property
    def input_difference(self) -> int:
        """The engines' count less ours."""
        return self.engine_input - self.our_input

    @property
    def output_difference(self) -> int:
        """The engines' count less ours."""
        return self.engine_output - self.our_output

    @property
    def whole(self) -> bool:
        """Every worker was read all the time, so that the two can be held against each other."""
        return self.gap_s == 0 and self.workers > 0
