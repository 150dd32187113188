"""Compares what was folded with the events it was folded from, and says so where they differ."""

import logging
from datetime import datetime, timedelta

from django.utils import timezone

from metering import rollup

log = logging.getLogger(__name__)

SHOWN_MAX = 20


def compare_recent(now: datetime | None = None) -> list[rollup.Difference]:
    """Compare yesterday and today (UTC); log an error with what differs."""
    midnight = (now or timezone.now()).replace(hour=0, minute=0, second=0, microsecond=0)
    return compare(midnight - timedelta(days=1), midnight + timedelta(days=1))


def compare(start: datetime, end: datetime) -> list[rollup.Difference]:
    """Compare [start, end); log an error with the first SHOWN_MAX differences, or that there is none."""
    found = rollup.differences(start, end)
    if found:
        shown = "; ".join(str(difference) for difference in found[:SHOWN_MAX])
        log.error("%d buckets between %s and %s differ from their events: %s", len(found), start, end, shown)
    else:
        log.info("Buckets between %s and %s are the sum of their events.", start, end)
    return found
