"""Tables of metering: what was shipped, every event, and usage summed over quarters of an hour.

Events are written by metering/shipping.py and metering/ingest_rows.py, buckets by metering/rollup.py, alerts by
metering/alerts.py, and by nothing else.
"""

from django.db import models
from django.db.models import Q

from metering.usage import REPORTED_UNITS, ServiceTier


class Batch(models.Model):
    """Events that were committed at once: a stretch of a journal, whose `first` and `last` are sequences, or a call."""

    class Kind(models.TextChoices):
        JOURNAL = "journal", "shipped from a gateway's journal"
        INGEST = "ingest", "counted elsewhere and sent to the API"
        CORRECTION = "correction", "amended, voided or reverted"

    kind = models.TextField(choices=Kind, default=Kind.JOURNAL)
    journal_id = models.UUIDField(null=True)
    journal_name = models.TextField(blank=True)
    first = models.BigIntegerField(null=True)
    last = models.BigIntegerField(null=True)
    last_checksum = models.BigIntegerField(
        null=True, help_text="Of the last record: tells a journal that was set back."
    )
    opened = models.BigIntegerField(null=True, help_text="Requests that this stretch opened: each has one event.")
    backfill = models.ForeignKey("Backfill", on_delete=models.PROTECT, null=True, related_name="batches")
    held = models.BooleanField(default=False, help_text="Of a backfill that is not committed: counted nowhere yet.")
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
            models.CheckConstraint(
                condition=~Q(kind="journal")
                | Q(journal_id__isnull=False, first__isnull=False, last__isnull=False, last_checksum__isnull=False),
                name="batch_of_a_journal_says_which",
            ),
            models.CheckConstraint(
                condition=Q(held=False) | Q(backfill__isnull=False), name="batch_held_for_a_backfill"
            ),
            models.CheckConstraint(condition=Q(events__gte=0, duplicates__gte=0), name="batch_counts"),
        ]
        indexes = [models.Index(fields=["id"], condition=Q(folded_at=None), name="batch_unfolded")]

    @property
    def records(self) -> int:
        """How many records of a journal it covers."""
        return 0 if self.first is None or self.last is None else self.last - self.first + 1

    def __str__(self) -> str:
        return (
            f"{self.journal_name} {self.first}-{self.last}"
            if self.kind == self.Kind.JOURNAL
            else f"{self.kind} {self.pk}"
        )


class Event(models.Model):
    """One attempt at one upstream, as its journal record says. The table is partitioned by month of `occurred_at`.

    A null count was not reported; it is not zero. Offering and deployment are texts that never change, because what
    they name lives in packages above this one. A correction is a row of its own: one of sign -1 takes away what the
    event that it corrects has counted, at that event's time, and one of sign 1 says what is right instead.
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
    audio_input = models.BigIntegerField(null=True)
    audio_output = models.BigIntegerField(null=True)
    image = models.BigIntegerField(null=True)
    second = models.BigIntegerField(null=True)
    character = models.BigIntegerField(null=True)
    upstream_status = models.SmallIntegerField(null=True)
    first_byte_us = models.BigIntegerField(null=True, help_text="Microseconds from opening to the first byte.")
    duration_us = models.BigIntegerField(help_text="Microseconds from opening to the end.")
    upstream_usage = models.JSONField(null=True, help_text="The upstream's own words.")
    grade = models.TextField(db_default="", help_text="That the answer got; empty: not certified.")
    service_tier = models.TextField(db_default=ServiceTier.STANDARD)
    sign = models.SmallIntegerField(db_default=1)
    corrects = models.UUIDField(null=True, help_text="The event of the same time that this row corrects.")
    source = models.TextField(null=True, help_text="Who counted it, where that was not a gateway of ours.")
    external_id = models.TextField(null=True, help_text="Its id there.")

    class Meta:
        indexes = [
            models.Index(fields=["tenant_id", "occurred_at"], name="event_tenant_time"),
            # A BRIN index would be cheaper to write, but pages that no vacuum has seen yet are in each of its answers:
            # a fold, which looks for the newest events, would read all since the last vacuum.
            models.Index(fields=["batch_id"], name="event_batch"),
        ]
        constraints = [
            *(
                models.CheckConstraint(condition=Q(**{f"{unit}__gte": 0}), name=f"event_{unit}")
                for unit in REPORTED_UNITS
            ),
            models.CheckConstraint(condition=Q(duration_us__gte=0), name="event_duration"),
            models.CheckConstraint(condition=Q(sign__in=[-1, 1]), name="event_sign"),
            models.CheckConstraint(condition=Q(sign=1) | Q(corrects__isnull=False), name="event_taken_away_is_named"),
            models.UniqueConstraint(
                fields=["corrects", "occurred_at"], condition=Q(sign=-1), name="event_taken_away_once"
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Bucket(models.Model):
    """Usage of one key, offering, deployment and unit within the quarter of an hour that begins at `start`.

    A quantity is below zero for a moment where a correction was folded before what it corrects.
    """

    tenant_id = models.BigIntegerField()
    start = models.DateTimeField()
    project_id = models.BigIntegerField()
    api_key_id = models.BigIntegerField()
    offering = models.TextField()
    deployment = models.TextField()
    grade = models.TextField(default="", blank=True)
    service_tier = models.TextField(default=ServiceTier.STANDARD)
    billed = models.BooleanField()
    unit = models.TextField()
    quantity = models.BigIntegerField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["tenant_id", "-start"]
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
                    "billed",
                    "unit",
                ],
                name="bucket_key",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M} {self.offering} {self.unit}"


class Backfill(models.Model):
    """Usage of the past that becomes visible at once, when it is whole, and can be taken back as one."""

    class State(models.TextChoices):
        OPEN = "open", "being filled: counted nowhere"
        COMMITTED = "committed", "counted"
        REVERTED = "reverted", "taken back"

    tenant_id = models.BigIntegerField()
    name = models.TextField()
    state = models.TextField(choices=State, default=State.OPEN)
    events = models.BigIntegerField(default=0)
    created_at = models.DateTimeField()
    committed_at = models.DateTimeField(null=True)
    reverted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["tenant_id", "name"], name="backfill_name_once")]

    def __str__(self) -> str:
        return self.name


class IngestedKey(models.Model):
    """That a source's event was taken, for good: also when the event's own partition is archived and gone."""

    tenant_id = models.BigIntegerField()
    source = models.TextField()
    external_id = models.TextField()
    event_id = models.UUIDField()
    occurred_at = models.DateTimeField()
    digest = models.BinaryField(help_text="SHA-256 of what it said: tells a repetition from another event of this id.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "source", "external_id"], name="ingested_key_once"),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.external_id}"


class JournalState(models.Model):
    """What a shipper last saw of a journal. Only metering/journal_states.py writes it."""

    journal_id = models.UUIDField(primary_key=True)
    name = models.TextField()
    node = models.TextField(help_text="The host whose shipper looked.")
    last_shipped = models.BigIntegerField(help_text="Sequence of the last committed record.")
    unshipped_bytes = models.BigIntegerField()
    unshipped_since = models.DateTimeField(
        null=True, help_text="When the oldest of it was written; null: all is shipped."
    )
    segments = models.IntegerField()
    still_open = models.BigIntegerField(
        null=True, help_text="Requests that had no end up to the record counted_to; null: not counted yet."
    )
    counted_to = models.BigIntegerField(null=True, help_text="Sequence of a committed record.")
    events = models.BigIntegerField(default=0, help_text="Committed so far, about: a killed shipper forgets a second.")
    duplicates = models.BigIntegerField(default=0, help_text="Left out so far, about.")
    problem = models.TextField(blank=True)
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]
        verbose_name = "journal"

    def __str__(self) -> str:
        return self.name


class Alert(models.Model):
    """Something that an operator must look at. It stays open until whoever raised it finds that it is over."""

    kind = models.TextField(help_text="Such as journal_gap or buckets_differ.")
    subject = models.TextField(help_text="What it is about: a segment, a day, a pool.")
    message = models.TextField()
    details = models.JSONField(default=dict)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    mailed_at = models.DateTimeField(null=True, blank=True, help_text="When operators were told of it by mail.")

    class Meta:
        ordering = ["-last_seen_at"]
        constraints = [
            models.UniqueConstraint(fields=["kind", "subject"], condition=Q(resolved_at=None), name="alert_open_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}"


class RequestDay(models.Model):
    """What a journal's requests came to, by the day (UTC) on which their records were shipped.

    Only metering/request_days.py writes it.
    """

    day = models.DateField()
    journal_id = models.UUIDField()
    journal_name = models.TextField()
    opened = models.BigIntegerField(null=True, help_text="Requests that began; null: an older version shipped some.")
    closed = models.BigIntegerField(help_text="Requests whose end was recorded.")
    outcomes = models.JSONField(help_text="Their events, by outcome.")
    duplicates = models.BigIntegerField(help_text="Ends whose event was there already.")
    still_open = models.BigIntegerField(null=True, help_text="Began up to the end of the day, and not ended by then.")
    missing = models.BigIntegerField(null=True, help_text="Began, not ended, and not open either; null: not known.")
    checked_at = models.DateTimeField()

    class Meta:
        ordering = ["-day", "journal_name"]
        constraints = [models.UniqueConstraint(fields=["day", "journal_id"], name="request_day_once")]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.journal_name}"


class Archive(models.Model):
    """A file of a month's events, written before its partition was dropped. Only metering/archive.py writes it.

    A month has one part, and one more for each time that late events made its partition anew.
    """

    month = models.DateField()
    part = models.PositiveSmallIntegerField(default=1)
    location = models.TextField(help_text="Where the file lies.")
    rows = models.BigIntegerField()
    file_bytes = models.BigIntegerField()
    sha256 = models.BinaryField()
    archived_at = models.DateTimeField()
    dropped_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-month", "part"]
        constraints = [models.UniqueConstraint(fields=["month", "part"], name="archive_part_once")]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"
