"""Holds buckets against the events they were folded from, day by day, and raises an alert where they differ."""

import logging
import secrets
import time
from datetime import UTC, date, datetime, timedelta
from random import Random

from django.db import OperationalError
from django.utils import timezone

from metering import alerts, partitions, rollup
from metering.models import Alert, Archive

log = logging.getLogger(__name__)

DIFFER = "buckets_differ"
UNFINISHED = "buckets_not_compared"
NIGHTLY = "nightly comparison"
DAY = timedelta(days=1)
DRAWN_DAYS = 3  # A night, of the past. In a year each of the last hundred days or so is drawn several times.
TIME_LIMIT_S = 480.0  # A night. Celery ends a task after 600.
SHOWN_MAX = 20


def compare_recent(now: datetime | None = None, *, chance: Random | None = None) -> list[rollup.Difference]:
    """Compare yesterday, today (UTC), days that differed before, and DRAWN_DAYS drawn of those whose events are kept.

    Within TIME_LIMIT_S: an alert names the days that were left out.
    """
    today = (now or timezone.now()).astimezone(UTC).date()
    kept = _kept_days(today)
    days = [today - DAY, today, *(day for day in _differed() if day in kept)]
    past = sorted(kept - set(days))
    days += (chance or secrets.SystemRandom()).sample(past, min(DRAWN_DAYS, len(past)))
    deadline = time.monotonic() + TIME_LIMIT_S
    found: list[rollup.Difference] = []
    left_out: list[str] = []
    for day in dict.fromkeys(days):
        try:
            found += compare(day, time_limit_s=deadline - time.monotonic())
        except TimeoutError:
            left_out.append(day.isoformat())
    if left_out:
        message = f"No time was left to hold buckets against events of {', '.join(left_out)}: compare them by hand."
        alerts.raise_alert(UNFINISHED, NIGHTLY, message, days=left_out)
    else:
        alerts.resolve(UNFINISHED, NIGHTLY)
    return found


def compare(day: date, *, time_limit_s: float = TIME_LIMIT_S) -> list[rollup.Difference]:
    """Compare one day, UTC: raise its alert, or resolve it. Raises TimeoutError where it takes too long."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    try:
        found = rollup.differences(start, start + DAY, time_limit_s=time_limit_s)
    except OperationalError as problem:
        if "statement timeout" in str(problem):
            raise TimeoutError from problem
        raise
    if found:
        shown = "; ".join(str(difference) for difference in found[:SHOWN_MAX])
        log.error("%d buckets of %s differ from their events: %s", len(found), day, shown)
        message = (
            f"{len(found)} buckets of {day} are not the sum of their events, the first of them: {found[0]}. Somebody"
            " wrote to the tables besides metering, or a fold is wrong: do not close a period that holds this day."
        )
        alerts.raise_alert(DIFFER, day.isoformat(), message, buckets=len(found))
    else:
        log.info("Buckets of %s are the sum of their events.", day)
        alerts.resolve(DIFFER, day.isoformat())
    return found


def _differed() -> list[date]:
    """Days whose alert is open: they are compared again, until they are right."""
    kept = Alert.objects.filter(kind=DIFFER, resolved_at=None).order_by("-last_seen_at")
    return [date.fromisoformat(subject) for subject in kept.values_list("subject", flat=True)[:SHOWN_MAX]]


def _kept_days(today: date) -> set[date]:
    """The days before today of which all events are in the database."""
    dropped = set(Archive.objects.filter(dropped_at__isnull=False).values_list("month", flat=True))
    months = [month.date() for month in partitions.months() if month.date() not in dropped]
    days = {month + number * DAY for month in months for number in range(31)}
    return {day for day in days if day < today and day.replace(day=1) in months}
