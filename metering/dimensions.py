"""By what usage can be grouped and narrowed, as SQL over buckets."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

Key = str | int | bool | date | datetime
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

# Day, hour and month are the tenant's own, or those of the zone that was asked for; `zone` is a row of its offsets.
_LOCAL = "((bucket.start AT TIME ZONE 'UTC') + coalesce(zone.ahead, interval '0'))"
# An hour is an instant and not a clock time, so that the hour that a clock change repeats stays two hours. Where the
# clocks of Lord Howe change by half an hour, an hour is cut, and its second part begins with the change.
_HOUR = f"greatest(bucket.start - make_interval(mins => extract(minute FROM {_LOCAL})::int), zone.begun)"


@dataclass(frozen=True)
class Dimension:
    """`sql` is of the Postgres type `kind`, and never null."""

    sql: str
    columns: tuple[str, ...]  # Of buckets, those that `sql` reads, besides the unit.
    kind: str = "text"
    span_max: timedelta | None = None  # How long a time may be that is cut into these.
    step: timedelta | None = (
        None  # Of the zone's clocks: it never changes but with one. None: no zone has a part in it.
    )

    @property
    def is_time(self) -> bool:
        return self.kind in ("date", "timestamptz")


DIMENSIONS = {
    "tenant": Dimension("coalesce(tenant.slug, bucket.tenant_id::text)", ("tenant_id",)),
    "project": Dimension(
        "coalesce(tenant.slug || '/' || project.slug, bucket.project_id::text)", ("tenant_id", "project_id")
    ),
    "api_key": Dimension("bucket.api_key_id", ("api_key_id",), "bigint"),
    "offering": Dimension("bucket.offering", ("offering",)),
    "deployment": Dimension("bucket.deployment", ("deployment",)),
    "grade": Dimension("bucket.grade", ("grade",)),
    "service_tier": Dimension("bucket.service_tier", ("service_tier",)),
    "billed": Dimension("bucket.billed", ("billed",), "boolean"),
    "unit": Dimension("bucket.unit", ()),
    "quarter": Dimension("bucket.start", ("start",), "timestamptz", timedelta(days=93)),
    "hour": Dimension(_HOUR, ("start",), "timestamptz", timedelta(days=366), HOUR),
    "day": Dimension(f"{_LOCAL}::date", ("start",), "date", timedelta(days=3_660), DAY),
    "month": Dimension(f"date_trunc('month', {_LOCAL})::date", ("start",), "date", timedelta(days=36_600), DAY),
}
TIMES = tuple(name for name, dimension in DIMENSIONS.items() if dimension.is_time)

# What usage can be narrowed to, besides tenant, time and whether it is billed: conditions on the table of buckets.
NARROWED_BY = {
    "project": "project_id IN (SELECT id FROM tenants_project WHERE slug = %(only_project)s)",
    "api_key": "api_key_id = %(only_api_key)s",
    "offering": "offering = %(only_offering)s",
    "deployment": "deployment = %(only_deployment)s",
    "grade": "grade = %(only_grade)s",
    "service_tier": "service_tier = %(only_service_tier)s",
    "unit": "unit = %(only_unit)s",
}
