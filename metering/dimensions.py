"""By what usage can be grouped and narrowed, as SQL over buckets."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

Key = str | int | bool | date | datetime

# Day, hour and month are the tenant's own, or those of the zone that was asked for; `zone` is a row of its offsets.
_LOCAL = "((bucket.start AT TIME ZONE 'UTC') + coalesce(zone.ahead, interval '0'))"
# An hour is an instant and not a clock time, so that the hour that a clock change repeats stays two hours. Where the
# clocks of Lord Howe change by half an hour, an hour is cut, and its second part begins with the change.
_HOUR = f"greatest(bucket.start - make_interval(mins => extract(minute FROM {_LOCAL})::int), zone.begun)"


@dataclass(frozen=True)
class Dimension:
    """`sql` is of the Postgres type `kind`, and never null."""

    sql: str
    kind: str = "text"
    span_max: timedelta | None = None  # How long a time may be that is cut into these.
    is_local: bool = False  # Whether it depends on the zone.

    @property
    def is_time(self) -> bool:
        return self.kind in ("date", "timestamptz")


DIMENSIONS = {
    "tenant": Dimension("coalesce(tenant.slug, bucket.tenant_id::text)"),
    "project": Dimension("coalesce(tenant.slug || '/' || project.slug, bucket.project_id::text)"),
    "api_key": Dimension("bucket.api_key_id", "bigint"),
    "offering": Dimension("bucket.offering"),
    "deployment": Dimension("bucket.deployment"),
    "grade": Dimension("bucket.grade"),
    "service_tier": Dimension("bucket.service_tier"),
    "billed": Dimension("bucket.billed", "boolean"),
    "unit": Dimension("bucket.unit"),
    "quarter": Dimension("bucket.start", "timestamptz", timedelta(days=93)),
    "hour": Dimension(_HOUR, "timestamptz", timedelta(days=366), is_local=True),
    "day": Dimension(f"{_LOCAL}::date", "date", timedelta(days=3_660), is_local=True),
    "month": Dimension(f"date_trunc('month', {_LOCAL})::date", "date", timedelta(days=36_600), is_local=True),
}
TIMES = tuple(name for name, dimension in DIMENSIONS.items() if dimension.is_time)

# What usage can be narrowed to, besides tenant, time and whether it is billed.
NARROWED_BY = {
    "project": "project.slug",
    "api_key": "bucket.api_key_id",
    "offering": "bucket.offering",
    "deployment": "bucket.deployment",
    "grade": "bucket.grade",
    "service_tier": "bucket.service_tier",
    "unit": "bucket.unit",
}
