"""Usage summed over buckets, for everything that shows usage: the API, the demo, reports."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection

from metering.rollup import QUARTER
from metering.usage import INPUT_UNITS, OUTPUT_UNITS, Unit

GROUPS_MAX = 10_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Key = str | int | bool | date | datetime

# Day and hour are the tenant's own, or those of the zone that was asked for. An hour is an instant and not a clock
# time, so that the hour that a clock change repeats stays two hours.
_ZONE = "coalesce(%(zone)s, tenant.time_zone, 'UTC')"
_LOCAL = f"(bucket.start AT TIME ZONE {_ZONE})"
GROUPS = {
    "tenant": "coalesce(tenant.slug, bucket.tenant_id::text)",
    "project": "coalesce(tenant.slug || '/' || project.slug, bucket.project_id::text)",
    "api_key": "bucket.api_key_id",
    "offering": "bucket.offering",
    "deployment": "bucket.deployment",
    "billed": "bucket.billed",
    "day": f"{_LOCAL}::date",
    "hour": f"bucket.start - make_interval(mins => extract(minute FROM {_LOCAL})::int)",
}


class UnknownGroup(ValueError):
    """Usage cannot be grouped by this."""


class NotOnAQuarter(ValueError):
    """A bound of the time asked for is not the beginning of a quarter of an hour."""


class TooManyGroups(ValueError):
    """There are more groups than GROUPS_MAX."""


@dataclass(frozen=True)
class UsageTotal:
    """What one group used. A unit that nobody reported is not in `units`, and a total of such units is None."""

    group: dict[str, Key]
    units: dict[str, int] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        return self.units.get(Unit.REQUEST, 0)

    @property
    def input_tokens(self) -> int | None:
        return _sum(self.units, INPUT_UNITS)

    @property
    def output_tokens(self) -> int | None:
        return _sum(self.units, OUTPUT_UNITS)


def usage_totals(
    tenant_ids: Collection[int] | None,
    start: datetime,
    end: datetime,
    group_by: Sequence[str] = (),
    *,
    billed: bool | None = None,
    zone: str | None = None,
) -> list[UsageTotal]:
    """Usage of these tenants (None: of all) within [start, end), one total a group, in the order of the groups.

    Both instants begin a quarter of an hour. `group_by` names entries of GROUPS; without any there is one total, also
    where nothing was used. `billed` narrows to what is billed, or is not. Raises UnknownGroup, NotOnAQuarter and
    TooManyGroups.
    """
    for name in group_by:
        if name not in GROUPS:
            raise UnknownGroup(f"{name} is not one of {', '.join(GROUPS)}.")
    for bound in (start, end):
        if not on_a_quarter(bound):
            raise NotOnAQuarter(f"{bound.isoformat()} does not begin a quarter of an hour.")
    given = {
        "tenants": None if tenant_ids is None else list(tenant_ids),
        "start": start,
        "end": end,
        "zone": zone,
        "billed": billed,
        "limit": (GROUPS_MAX + 1) * len(Unit),
    }
    with connection.cursor() as cursor:
        cursor.execute(_statement(group_by), given)
        return _gathered(group_by, cursor.fetchall())


def on_a_quarter(at: datetime) -> bool:
    """Whether the instant begins a quarter of an hour. It must know its offset from UTC."""
    return (at - EPOCH) % QUARTER == timedelta(0)


def this_month(now: datetime) -> tuple[datetime, datetime]:
    """The running month as [start, end), UTC. Both begin a day, and so a quarter of an hour."""
    start = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    later = start + timedelta(days=31)
    return start, later.replace(day=1)


def _statement(group_by: Sequence[str]) -> str:
    """The query: names of groups were checked against GROUPS, and everything else is a parameter."""
    keys = [GROUPS[name] for name in group_by]
    positions = ", ".join(str(position) for position in range(1, len(keys) + 2))
    return f"""
        SELECT {", ".join([*keys, "bucket.unit"])}, sum(bucket.quantity)::bigint
        FROM metering_bucket AS bucket
        LEFT JOIN tenants_tenant AS tenant ON tenant.id = bucket.tenant_id
        LEFT JOIN tenants_project AS project ON project.id = bucket.project_id
        WHERE bucket.start >= %(start)s AND bucket.start < %(end)s
          AND (%(tenants)s::bigint[] IS NULL OR bucket.tenant_id = ANY(%(tenants)s::bigint[]))
          AND (%(billed)s::boolean IS NULL OR bucket.billed = %(billed)s::boolean)
        GROUP BY {positions} ORDER BY {positions} LIMIT %(limit)s
    """  # noqa: S608 - see above


def _gathered(group_by: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> list[UsageTotal]:
    totals: dict[tuple[Key, ...], UsageTotal] = {}
    if not group_by:
        totals[()] = UsageTotal({})
    for *key, unit, quantity in rows:
        total = totals.setdefault(tuple(key), UsageTotal(dict(zip(group_by, key, strict=True))))
        total.units[unit] = quantity
    if len(totals) > GROUPS_MAX:
        raise TooManyGroups(f"More than {GROUPS_MAX} groups. Ask for a shorter time or group by less.")
    return list(totals.values())


def _sum(units: dict[str, int], of: Iterable[Unit]) -> int | None:
    reported = [units[unit] for unit in of if unit in units]
    return sum(reported) if reported else None
