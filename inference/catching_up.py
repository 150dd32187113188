"""Finds the pool-hours that are due, and has them computed."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.db.models import Max
from django.db.models.functions import TruncHour
from django.utils import timezone

from inference.models import HOUR, Pool, PoolHour
from inference.pool_hours import allocate_hour, deployments, start_of_hour
from metering.models import Bucket

LOOK_BACK = timedelta(days=35)  # A month that is being closed lies within it, with days to spare.
RECENT = timedelta(hours=3)

# A bucket carries the time at which its transaction began to fold, and becomes visible when that commits. An hour
# computed between the two must be computed again; no transaction of ours lives longer than CELERY_TASK_TIME_LIMIT.
FOLD_LASTS_AT_MOST = timedelta(minutes=15)

log = logging.getLogger(__name__)


def allocate_due(look_back: timedelta = LOOK_BACK) -> int:
    """Compute every hour that is due, of every pool, and return how many.

    Due is an hour that was never computed, that was computed before it was over, or whose usage may have changed
    since; with the running one, and back to the pool's beginning or `look_back`, whichever is later. A pool that
    fails does not keep the others from being computed.
    """
    now, computed, problems = timezone.now(), 0, []
    for pool in Pool.objects.select_related("upstream"):
        try:
            if look_back >= LOOK_BACK:
                _say_gap(pool, _first(pool, now, look_back))
            for hour_start in _due(pool, now, look_back):
                allocate_hour(pool, hour_start)
                computed += 1
        except Exception as problem:  # It is raised below, when the other pools are done.
            problem.add_note(f"while the hours of pool {pool} were computed")
            problems.append(problem)
    if problems:
        raise ExceptionGroup("The cost of some pools could not be computed", problems)
    return computed


def _due(pool: Pool, now: datetime, look_back: timedelta) -> Iterator[datetime]:
    running, first = start_of_hour(now), _first(pool, now, look_back)
    computed = dict(PoolHour.objects.filter(pool=pool, hour_start__gte=first).values_list("hour_start", "computed_at"))
    changed = _changed(pool, first)
    hours = (first + index * HOUR for index in range((running - first) // HOUR + 1))
    yield from (at for at in hours if _is_due(at, now, computed.get(at), changed.get(at)))


def _first(pool: Pool, now: datetime, look_back: timedelta) -> datetime:
    """The first hour within reach."""
    return max(start_of_hour(pool.created_at), start_of_hour(now) - look_back)


def _is_due(hour_start: datetime, now: datetime, computed_at: datetime | None, changed_at: datetime | None) -> bool:
    if computed_at is None:
        return True
    over = hour_start + HOUR
    if over <= now and computed_at < over:
        return True
    return changed_at is not None and changed_at > computed_at - FOLD_LASTS_AT_MOST


def _changed(pool: Pool, first: datetime) -> dict[datetime, datetime]:
    """When the usage of each hour was last added to."""
    found = Bucket.objects.filter(start__gte=first, deployment__in=deployments(pool)).order_by()
    return dict(found.values_list(TruncHour("start", tzinfo=UTC)).annotate(Max("updated_at")))


def _say_gap(pool: Pool, first: datetime) -> None:
    """Say once, before the first hour within reach is computed, that hours before it never were."""
    known = PoolHour.objects.filter(pool=pool, hour_start__lte=first).aggregate(last=Max("hour_start"))["last"]
    since = known + HOUR if known else start_of_hour(pool.created_at)
    if since < first:
        log.warning("Pool %s: the hours from %s to %s were never computed and are out of reach.", pool, since, first)
