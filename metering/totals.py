"""Usage summed over buckets, for everything that shows usage: the API, exports, the demo."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from django.core import signing
from django.db import connection, transaction

from metering.dimensions import DIMENSIONS, NARROWED_BY, Key
from metering.usage import INPUT_UNITS, OUTPUT_UNITS, Unit
from metering.zones import QUARTER, offsets, stretches
from tenants.models import Tenant

GROUPS_MAX = 10_000
ROWS_AT_ONCE = 2_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CUTS_MAX = 3_000  # Days or hours, times zones, over which buckets are summed before they are named.
_CURSOR_SALT = "metering.totals.cursor"
_JOINED = {
    "tenant_id": "LEFT JOIN tenants_tenant AS tenant ON tenant.id = bucket.tenant_id",
    "project_id": "LEFT JOIN tenants_project AS project ON project.id = bucket.project_id",
}
# The planner takes every disk for one that turns, where reading all tenants' buckets beats looking up one tenant's.
_BY_INDEX = "SELECT set_config('random_page_cost', '1.1', true)"


class UnknownGroup(ValueError):
    """Usage cannot be grouped by this."""


class NotOnAQuarter(ValueError):
    """A bound of the time asked for is not the beginning of a quarter of an hour."""


class SpanTooLong(ValueError):
    """The time asked for is too long to be cut into pieces as short as these."""


class TooManyGroups(ValueError):
    """There are more groups than GROUPS_MAX."""


class BrokenCursor(ValueError):
    """The cursor is not one that was given out for this question."""


@dataclass(frozen=True)
class UsageTotal:
    """What one group used. A unit that nobody reported is not in `units`, and a total of such units is None."""

    group: dict[str, Key]
    units: dict[str, int] = field(default_factory=dict)

    @property
    def requests(self) -> int | None:
        """None where the group is of other units alone."""
        return self.units.get(Unit.REQUEST) if self.units else 0

    @property
    def input_tokens(self) -> int | None:
        return _sum(self.units, INPUT_UNITS)

    @property
    def output_tokens(self) -> int | None:
        return _sum(self.units, OUTPUT_UNITS)


@dataclass(frozen=True)
class Question:
    """Usage of these tenants (None: of all) within [start, end), by groups, and narrowed to what `only` says.

    Raises UnknownGroup, NotOnAQuarter and SpanTooLong.
    """

    tenant_ids: Collection[int] | None
    start: datetime
    end: datetime
    group_by: Sequence[str] = ()
    billed: bool | None = None
    zone: str | None = None
    only: Mapping[str, str | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.group_by:
            if name not in DIMENSIONS:
                raise UnknownGroup(f"{name} is not one of {', '.join(DIMENSIONS)}.")
            longest = DIMENSIONS[name].span_max
            if longest is not None and self.end - self.start > longest:
                raise SpanTooLong(f"By {name}, ask for {longest.days} days at most.")
        for bound in (self.start, self.end):
            if not on_a_quarter(bound):
                raise NotOnAQuarter(f"{bound.isoformat()} does not begin a quarter of an hour.")

    def fingerprint(self) -> str:
        """Tells this question from others."""
        tenants = None if self.tenant_ids is None else sorted(self.tenant_ids)
        said = (tenants, self.start, self.end, self.group_by, self.billed, self.zone, sorted(self.only.items()))
        return hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:16]


def usage_totals(
    tenant_ids: Collection[int] | None,
    start: datetime,
    end: datetime,
    group_by: Sequence[str] = (),
    *,
    billed: bool | None = None,
    zone: str | None = None,
) -> list[UsageTotal]:
    """All groups at once, in their order. Raises TooManyGroups besides what Question raises."""
    question = Question(tenant_ids, start, end, group_by, billed, zone)
    found, cursor = usage_page(question, None, GROUPS_MAX)
    if cursor is not None:
        raise TooManyGroups(f"More than {GROUPS_MAX} groups. Ask for a shorter time or group by less.")
    return found


def usage_page(question: Question, cursor: str | None, limit: int) -> tuple[list[UsageTotal], str | None]:
    """At most `limit` groups in their order, after those that `cursor` ended with, and the next page's cursor if there
    is one. Raises BrokenCursor.

    A page begins after a group and not after a number of groups: so what is folded meanwhile moves none of them to
    another page, and no group is ever cut in two.
    """
    after = None if cursor is None else _read(question, cursor)
    statement, given = _statement(question, after, limit + 1)
    with transaction.atomic(), connection.cursor() as reader:
        reader.execute(_BY_INDEX)
        reader.execute(statement, given)
        totals = [_total(question, row) for row in reader.fetchall()]
    return totals[:limit], _cursor(question, totals[limit - 1]) if len(totals) > limit else None


def usage_rows(question: Question) -> Iterator[UsageTotal]:
    """All groups in their order, however many, as one moment saw them; few are in memory at once."""
    statement, given = _statement(question, None, None)
    with connection.chunked_cursor() as reader:
        reader.execute(statement, given)
        while rows := reader.fetchmany(ROWS_AT_ONCE):
            yield from (_total(question, row) for row in rows)


def on_a_quarter(at: datetime) -> bool:
    """Whether the instant begins a quarter of an hour. It must know its offset from UTC."""
    return (at - EPOCH) % QUARTER == timedelta(0)


def this_month(now: datetime) -> tuple[datetime, datetime]:
    """The running month as [start, end), UTC. Both begin a day, and so a quarter of an hour."""
    start = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    later = start + timedelta(days=31)
    return start, later.replace(day=1)


def _statement(question: Question, after: list[str] | None, limit: int | None) -> tuple[str, dict[str, Any]]:
    """The query: names of groups were checked against DIMENSIONS, and everything else is a parameter.

    Buckets are summed as they are, over stretches of time that no group cuts, and only their sums are joined with what
    gives them names and local times: joining each bucket took twice as long.
    """
    keys = [DIMENSIONS[name] for name in question.group_by]
    names = [f"key_{place}" for place in range(len(keys))]
    columns = {column for key in keys for column in key.columns}
    given: dict[str, Any] = {}
    step = min((key.step for key in keys if key.step is not None), default=None)
    zones = [] if step is None else _zones(question)
    if zones and question.zone is None:
        columns.add("tenant_id")
    joined = [join for column, join in _JOINED.items() if column in columns]
    if zones:
        joined.append(_joined_zones(question, zones, given))
    summed = _summed(question, _begin(question, after), columns, _stretches(question, zones, step), given)
    beyond = []
    if after is not None:
        places = [f"%(after_{place})s::{key.kind}" for place, key in enumerate(keys)]
        beyond = [f"WHERE ({', '.join(names)}) > ({', '.join(places)})"]
        given |= {f"after_{place}": value for place, value in enumerate(after)}
    grouped = [f"GROUP BY {', '.join(names)} ORDER BY {', '.join(names)}"] if names else []
    limited = [] if limit is None else [f"LIMIT {limit:d}"]
    statement = f"""
        WITH bucket AS ({summed}), named AS (
            SELECT {"".join(f"{key.sql} AS {name}, " for key, name in zip(keys, names, strict=True))}
                   bucket.unit AS counted, sum(bucket.quantity)::bigint AS quantity
            FROM bucket {" ".join(joined)}
            GROUP BY {", ".join([*names, "counted"])}
        )
        SELECT {"".join(f"{name}, " for name in names)} jsonb_object_agg(counted, quantity)::text
        FROM named {" ".join([*beyond, *grouped, *limited])}
    """  # noqa: S608 - see above
    return statement, given


def _summed(
    question: Question, begin: datetime, columns: Collection[str], cuts: Sequence[datetime], given: dict[str, Any]
) -> str:
    """The question's buckets, summed by these columns and their unit, and over stretches of time if there are any.

    Tenant and time are the first columns of the buckets' key, so only the buckets of both are read.
    """
    given |= {"start": begin, "end": question.end}
    wanted = ["start >= %(start)s", "start < %(end)s"]
    if question.tenant_ids is not None:
        wanted.append("tenant_id = ANY(%(tenants)s::bigint[])")
        given["tenants"] = sorted(question.tenant_ids)
    if question.billed is not None:
        wanted.append("billed = %(billed)s")
        given["billed"] = question.billed
    for name, value in question.only.items():
        wanted.append(NARROWED_BY[name])
        given[f"only_{name}"] = value
    by = dict.fromkeys([*sorted(columns), "unit"])
    sql = {name: name for name in by}
    if cuts and "start" in by:
        sql["start"] = "(%(cuts)s::timestamptz[])[width_bucket(start, %(cuts)s::timestamptz[])]"
        given["cuts"] = list(cuts)
    return f"""SELECT {"".join(f"{sql[name]} AS {name}, " for name in by)} sum(quantity)::bigint AS quantity
        FROM metering_bucket WHERE {" AND ".join(wanted)} GROUP BY {", ".join(map(str, range(1, len(by) + 1)))}"""  # noqa: S608 - see above


def _stretches(question: Question, zones: Collection[str], step: timedelta | None) -> list[datetime]:
    """Where stretches of time begin that no group cuts; none where that would be too many to be worth it."""
    if step is None or "quarter" in question.group_by or (question.end - question.start) / step * len(zones) > CUTS_MAX:
        return []
    return stretches(zones, question.start, question.end, step)


def _zones(question: Question) -> list[str]:
    """The zones by whose clocks the question's times are told."""
    if question.zone is not None:
        return [question.zone]
    tenants = Tenant.objects.all()
    if question.tenant_ids is not None:
        tenants = tenants.filter(id__in=question.tenant_ids)
    return sorted({"UTC", *tenants.values_list("time_zone", flat=True)})


def _joined_zones(question: Question, zones: Sequence[str], given: dict[str, Any]) -> str:
    """A join with the offset that the clocks have at each stretch, in the zone asked for or in its tenant's."""
    found = [(name, offset) for name in zones for offset in offsets(name, question.start, question.end)]
    given["zones"] = [name for name, _ in found]
    given["begun"] = [offset.begun for _, offset in found]
    given["ended"] = [offset.ended for _, offset in found]
    given["ahead"] = [offset.ahead for _, offset in found]
    of_tenant = "" if question.zone else "AND zone.name = coalesce(tenant.time_zone, 'UTC')"
    columns = "%(zones)s::text[], %(begun)s::timestamptz[], %(ended)s::timestamptz[], %(ahead)s::interval[]"
    return f"""LEFT JOIN unnest({columns}) AS zone (name, begun, ended, ahead)
        ON bucket.start >= zone.begun AND bucket.start < zone.ended {of_tenant}"""


def _begin(question: Question, after: list[str] | None) -> datetime:
    """From where to read: what lies before the last page's time need not be summed again, if time comes first."""
    if not after:
        return question.start
    kind = DIMENSIONS[question.group_by[0]].kind
    if kind == "timestamptz":
        return max(question.start, datetime.fromisoformat(after[0]))
    if kind == "date":  # No zone's day begins a whole day before that of UTC.
        midnight = datetime.combine(date.fromisoformat(after[0]), datetime.min.time(), UTC)
        return max(question.start, midnight - timedelta(days=1))
    return question.start


def _total(question: Question, row: Sequence[Any]) -> UsageTotal:
    *keys, units = row
    counted = msgspec.json.decode(units, type=dict[str, int]) if units is not None else {}
    in_order = {str(unit): counted.pop(unit) for unit in Unit if unit in counted}
    return UsageTotal(dict(zip(question.group_by, keys, strict=True)), {**in_order, **counted})


def _cursor(question: Question, last: UsageTotal) -> str:
    after = [key.isoformat() if isinstance(key, date) else str(key) for key in last.group.values()]
    return signing.dumps([question.fingerprint(), after], salt=_CURSOR_SALT)


def _read(question: Question, cursor: str) -> list[str]:
    try:
        fingerprint, after = signing.loads(cursor, salt=_CURSOR_SALT)
    except signing.BadSignature:
        raise BrokenCursor("This is not a cursor that was given out here. Begin with the first page.") from None
    if fingerprint != question.fingerprint():
        raise BrokenCursor("This cursor belongs to another question. Change nothing but the cursor between pages.")
    return list(after)


def _sum(units: Mapping[str, int], of: Sequence[Unit]) -> int | None:
    reported = [units[unit] for unit in of if unit in units]
    return sum(reported) if reported else None
