"""Tables of metering: what was shipped, every event, and usage summed over quarters of an hour.

Events are written by metering/shipping.py and buckets by metering/rollup.py, and by nothing else.
"""

from django.db import models
from django.db.models import Q

from metering.usage import TOKEN_UNITS


class Batch(models.Model):
    """One stretch of a journal that was committed at once, with its events. `first` and `last` are sequences."""

    journal_id = models.UUIDField()
    journal_name = models.TextField()
    first = models.BigIntegerField()
    last = models.BigIntegerField()
    last_checksum = models.BigIntegerField(help_text="Of the last record: tells a journal that was set back.")
    events = models.IntegerField(help_text="Rows written to the event table.")
    duplicates = models.IntegerField(help_text="Events left out because their id was there already.")
    committed_at = models.DateTimeField()
    folded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "batches"
        constraints = [
            models.UniqueConstraint(fields=["journal_id", "first"], name="batch_first_once"),
            models.UniqueConstraint(fields=["journal_id", "last"], name="batch_last_once"),
            models.CheckConstraint(condition=Q(first__gte=1, last__gte=models.F("first")), name="batch_stretch"),
            models.CheckConstraint(condition=Q(events__gte=0, duplicates__gte=0), name="batch_counts"),
        ]
        indexes = [models.Index(fields=["id"], condition=Q(folded_at=None), name="batch_unfolded")]

    def __str__(self) -> str:
        return f"{self.journal_name} {self.first}-{self.last}"


class Event(models.Model):
    """One attempt at one upstream, as its journal record says. The table is partitioned by month of `occurred_at`.

    A null count was not reported; it is not zero. Offering and deployment are texts that never change, because what
    they name lives in packages above this one.
    """

    pk = models.CompositePrimaryKey("id", "occurred_at")
    id = models.UUIDField()
    occurred_at = models.DateTimeField(help_text="When the request was opened; the time within its UUIDv7.")
    batch_id = models.BigIntegerField()
    tenant_id = models.BigIntegerField()
    project_id = models.BigIntegerField()
    api_key_id = models.BigIntegerField()
    offering = models.TextField()
    deployment = models.TextField()
    streamed = models.BooleanField()
    outcome = models.TextField()
    usage_source = models.TextField()
    billed = models.BooleanField()
    input_uncached = models.BigIntegerField(null=True)
    input_cached = models.BigIntegerField(null=True)
    cache_write_5m = models.BigIntegerField(null=True)
    cache_write_1h = models.BigIntegerField(null=True)
    output = models.BigIntegerField(null=True)
    reasoning = models.BigIntegerField(null=True)
    upstream_status = models.SmallIntegerField(null=True)
    first_byte_us = models.BigIntegerField(null=True, help_text="Microseconds from opening to the first byte.")
    duration_us = models.BigIntegerField(help_text="Microseconds from opening to the end.")
    upstream_usage = models.JSONField(null=True, help_text="The upstream's own words.")

    class Meta:
        indexes = [
            models.Index(fields=["tenant_id", "occurred_at"], name="event_tenant_time"),
            models.Index(fields=["batch_id"], name="event_batch"),
        ]
        constraints = [
            *(models.CheckConstraint(condition=Q(**{f"{unit}__gte": 0}), name=f"event_{unit}") for unit in TOKEN_UNITS),
            models.CheckConstraint(condition=Q(duration_us__gte=0), name="event_duration"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Bucket(models.Model):
    """Usage of one key, offering, deployment and unit within the quarter of an hour that begins at `start`."""

    tenant_id = models.BigIntegerField()
    start = models.DateTimeField()
    project_id = models.BigIntegerField()
    api_key_id = models.BigIntegerField()
    offering = models.TextField()
    deployment = models.TextField()
    billed = models.BooleanField()
    unit = models.TextField()
    quantity = models.BigIntegerField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["tenant_id", "-start"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "start", "project_id", "api_key_id", "offering", "deployment", "billed", "unit"],
                name="bucket_key",
            ),
            models.CheckConstraint(condition=Q(quantity__gte=0), name="bucket_quantity"),
        ]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M} {self.offering} {self.unit}"
