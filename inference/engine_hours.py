"""Holds what engines counted against what our events say, by pool and hour: the only writer of engine hours.

Ours are the buckets of the pool's deployments, billed or not. Engines count by when they worked, events by when their
request was opened, so the two differ a little at the ends of an hour even where nothing is wrong.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, Sum
from django.utils import timezone

from inference.engine_counters import Counted, Reading, counted, drifts
from inference.models import HOUR, EngineHour, Pool, Worker, WorkerReading
from inference.pool_hours import deployments, start_of_hour
from metering import alerts
from metering.models import Bucket
from metering.usage import INPUT_UNITS, OUTPUT_UNITS

DRIFT, UNREAD = "engine_drift", "engine_unread"  # Kinds of alerts.
SETTLES_AFTER = timedelta(minutes=5)  # By then an hour's usage is shipped and folded, if nothing is late.
RECHECKED_FOR = timedelta(hours=3)  # Late usage changes an hour; one that drifts is looked at until it does not.
INTERVALS_MISSED_MAX = 3  # Readings further apart than so many intervals have a gap between them.
UNREAD_MIN = timedelta(minutes=15)  # Of one worker and hour; less is on the page and no alert.


def compare_due(now: datetime | None = None) -> int:
    """Compare every hour that is due, of every pool; return how many. Opens and closes alerts."""
    now = now or timezone.now()
    compared = 0
    for pool in Pool.objects.select_related("upstream"):
        rows = [compare(pool, hour_start, now) for hour_start in _due(pool, now)]
        for row in rows:
            _tell_of_drift(row)
        if rows:
            _tell_of_gap(rows[-1])  # Of the newest hour alone, or two hours would open and close it in turn.
        compared += len(rows)
    return compared


def _due(pool: Pool, now: datetime) -> Iterator[datetime]:
    """Hours that are over: those never compared, the newest, and those that drifted; while there are readings."""
    oldest = (worker.readings.order_by("at").values_list("at", flat=True).first() for worker in pool.workers.all())
    hour_start = min((start_of_hour(at) for at in oldest if at is not None), default=now)
    known = dict(EngineHour.objects.filter(pool=pool).values_list("hour_start", "drifts"))
    while hour_start + HOUR + SETTLES_AFTER <= now:
        recent = now - hour_start - HOUR <= RECHECKED_FOR
        if recent or known.get(hour_start, True):
            yield hour_start
        hour_start += HOUR


def compare(pool: Pool, hour_start: datetime, now: datetime) -> EngineHour:
    """Compute one hour, replacing what was computed before."""
    hour_end = hour_start + HOUR
    within = WorkerReading.objects.filter(worker=OuterRef("pk"), at__gt=hour_start, at__lte=hour_end)
    to_be_read = Q(enabled=True, pool__upstream__enabled=True)
    workers = list(Worker.objects.filter(to_be_read | Exists(within), pool=pool))
    engine = sum((_counted(worker, hour_start, hour_end) for worker in workers), Counted())
    ours = {direction: _ours(pool, hour_start, units) for direction, units in DIRECTIONS.items()}
    pairs = ((engine.prompt, ours["input"]), (engine.generation, ours["output"]))
    row = EngineHour(
        pool=pool,
        hour_start=hour_start,
        engine_input=engine.prompt,
        engine_output=engine.generation,
        our_input=ours["input"],
        our_output=ours["output"],
        counters=", ".join(_names(pool, hour_start)),
        workers=len(workers),
        readings=engine.readings,
        restarts=engine.restarts,
        gap_s=int(engine.gap.total_seconds()),
        computed_at=now,
    )
    row.drifts = row.whole and any(drifts(*pair, *_tolerated()) for pair in pairs)
    fields = [
        field.name for field in EngineHour._meta.concrete_fields if field.name not in ("id", "pool", "hour_start")
    ]
    EngineHour.objects.bulk_create(
        [row], update_conflicts=True, unique_fields=["pool", "hour_start"], update_fields=fields
    )
    return row


DIRECTIONS = {"input": INPUT_UNITS, "output": OUTPUT_UNITS}


def _tolerated() -> tuple[int, int]:
    return settings.TOKENWORKS_ENGINE_DRIFT_PERCENT, settings.TOKENWORKS_ENGINE_DRIFT_TOKENS


def _counted(worker: Worker, start: datetime, end: datetime) -> Counted:
    fields = ("at", "prompt_tokens", "generation_tokens", "started_at")
    said = WorkerReading.objects.filter(worker=worker, problem="").values_list(*fields)
    before = said.filter(at__lte=start).order_by("-at").first()
    within = said.filter(at__gt=start, at__lte=end).order_by("at")
    readings = [Reading(*row) for row in ([before] if before else []) + list(within)]
    interval = timedelta(seconds=settings.TOKENWORKS_ENGINE_READ_INTERVAL_S)
    return counted(readings, start, end, interval * INTERVALS_MISSED_MAX)


def _names(pool: Pool, start: datetime) -> list[str]:
    said = WorkerReading.objects.filter(worker__pool=pool, at__gt=start, at__lte=start + HOUR, problem="")
    return sorted(said.order_by().values_list("engine", flat=True).distinct())


def _ours(pool: Pool, start: datetime, units: tuple[str, ...]) -> int:
    found = Bucket.objects.filter(
        start__gte=start, start__lt=start + HOUR, deployment__in=deployments(pool), unit__in=units
    )
    return found.aggregate(tokens=Sum("quantity"))["tokens"] or 0


def _tell_of_drift(row: EngineHour) -> None:
    subject = f"{row.pool} {row.hour_start:%Y-%m-%d %H:%M}"
    if not row.drifts:
        alerts.resolve(DRIFT, subject)
        return
    alerts.raise_alert(
        DRIFT,
        subject,
        f"The engines counted {row.engine_input:,} tokens in and {row.engine_output:,} out, our events say"
        f" {row.our_input:,} and {row.our_output:,}. See whether somebody uses the workers without the gateway, whether"
        " usage of that hour is late, and how many requests failed: what an engine did for these is in no event.",
        engine_input=row.engine_input,
        engine_output=row.engine_output,
        our_input=row.our_input,
        our_output=row.our_output,
        restarts=row.restarts,
    )


def _tell_of_gap(row: EngineHour) -> None:
    if row.whole:
        alerts.resolve(UNREAD, str(row.pool))
    elif row.gap_s > UNREAD_MIN.total_seconds():
        alerts.raise_alert(
            UNREAD,
            str(row.pool),
            f"In the hour from {row.hour_start:%Y-%m-%d %H:%M} UTC its workers ({row.workers}) were not read for"
            f" {row.gap_s // 60} minutes altogether, so they were not held against our events. The page of worker"
            " readings says why.",
            hour=row.hour_start.isoformat(),
            gap_s=row.gap_s,
        )
