"""What many stored events cost those who fold more of them and those who ask for a month of usage."""

import statistics
import time
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import psutil
from django.db import connection

from metering import rollup, totals
from metering.partitions import ensure
from tenants.models import Tenant
from tests.bench.busy_hours import OFFERINGS

MONTH = datetime(2026, 3, 1, tzinfo=UTC)
ZONE = ZoneInfo("Europe/Berlin")  # Of all tenants; its clocks change within the month.
EVENTS_OF_A_FILL = 500_000
FOLDS = 5
QUERIES = 20
TENANTS = 20
KEYS = 4

_FILL = """
    INSERT INTO metering_event (id, occurred_at, batch_id, duration_us, tenant_id, project_id, api_key_id, offering,
        deployment, streamed, outcome, usage_source, billed, input_uncached, input_cached, output, upstream_status,
        first_byte_us, upstream_usage)
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))
           ::uuid, at, -1 - n / 10000, n %% 9000000, n %% 20 + 1, n %% 20 + 1, n %% 80 + 1, 'llama-3.3-70b',
           'llama-3.3-70b-at-pool-a', true, 'completed', 'reported', true, n %% 4000, n %% 2000, n %% 1500, 200,
           n %% 900, jsonb_build_object('prompt_tokens', 1234, 'total_tokens', 2345, 'completion_tokens', 1111)
    FROM (SELECT n, timestamptz '2026-03-01' + n * interval '1 millisecond' AS at
          FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n) AS filler
"""
# As many events of each tenant, key and offering go into each quarter of the month as give 100 million together.
_BUCKETS = """
    INSERT INTO metering_bucket (tenant_id, start, project_id, api_key_id, offering, deployment, grade, service_tier,
        billed, unit, quantity, updated_at)
    SELECT tenant, start, tenant, tenant * %(keys)s + key, offering, offering || '-at-pool-a', '', 'standard', true,
           unit, 100000000 / (2972 * array_length(%(tenants)s, 1) * %(keys)s * 2), now()
    FROM generate_series(%(start)s, %(end)s - interval '1 second', interval '15 minutes') AS start,
         unnest(%(tenants)s) AS tenant, generate_series(0, %(keys)s - 1) AS key,
         unnest(%(offerings)s::text[]) AS offering,
         unnest(array['input_uncached', 'input_cached', 'output', 'request']) AS unit
"""


def fill(stored: int, wanted: int) -> None:
    """Add events of the month that were folded long ago, until there are `wanted`."""
    ensure([MONTH])
    with connection.cursor() as cursor:
        for first in range(stored, wanted, EVENTS_OF_A_FILL):
            cursor.execute(_FILL, {"first": first, "last": min(first + EVENTS_OF_A_FILL, wanted) - 1})
        cursor.execute("ANALYZE metering_event")


def fold_again() -> list[float]:
    """CPU of the folding connection, in microseconds an event, for the events that were shipped last; FOLDS times."""
    costs = []
    for _ in range(FOLDS):
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE metering_bucket")
            cursor.execute("UPDATE metering_batch SET folded_at = NULL")
            cursor.execute("VACUUM metering_batch")
            cursor.execute("SELECT pg_backend_pid(), (SELECT sum(events) FROM metering_batch)")
            pid, events = cursor.fetchone()
        backend = psutil.Process(pid)
        before = backend.cpu_times()
        rollup.fold_everything()
        after = backend.cpu_times()
        costs.append((after.user + after.system - before.user - before.system) / int(events) * 1e6)
    return costs


def month_of_usage_ms() -> tuple[int, list[float]]:
    """How many buckets a tenant has of a month in which 100 million events were folded, and what its usage takes."""
    start, end = datetime(2026, 3, 1, tzinfo=ZONE), datetime(2026, 4, 1, tzinfo=ZONE)
    made = (Tenant.objects.get_or_create(slug=f"month-{n}", defaults={"time_zone": ZONE.key}) for n in range(TENANTS))
    tenants = [tenant.pk for tenant, _ in made]
    given: dict[str, Any] = {"tenants": tenants, "keys": KEYS, "offerings": list(OFFERINGS[:2])}
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE metering_bucket")
        cursor.execute(_BUCKETS, given | {"start": start, "end": end})
        cursor.execute("VACUUM ANALYZE metering_bucket")
        cursor.execute("SELECT count(*) FROM metering_bucket WHERE tenant_id = %s", tenants[:1])
        (rows,) = cursor.fetchone()
    took = []
    for _ in range(QUERIES):
        began = time.perf_counter()
        found = totals.usage_totals(tenants[:1], start, end, ("day", "offering"))
        took.append((time.perf_counter() - began) * 1000)
        assert len(found) == 31 * 2
    return rows, took


def report_month_of_usage() -> None:
    rows, took = month_of_usage_ms()
    spread = f"{min(took):.0f} to {max(took):.0f}"
    print(f"a month of a tenant by day and model, of {rows:,} buckets: {statistics.median(took):.0f} ms ({spread})")
