"""Measures billing: `make bench-billing ARGS="[--tenants N] [--rows N]"`.

First a month of a few tenants with many bucket rows each is drafted in one process. Then the month of many tenants is
closed by its run: drafted, numbered, booked and rendered by as many workers as the machine has cores, first of a tenth
of the tenants and then of the rest, so that it shows whether an invoice costs more when there are many. All on an
embedded Postgres in a home of its own. Nothing is asserted.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import django
import psutil

from config import embedded
from tests.bench import many_tenants
from tests.bench.metering import Watched
from tests.bench.ours import ROOT

QUARTERS_A_TENANT = 3  # Of an hour: each has one bucket for each of the invoice's lines.
QUARTERS_WHEN_RATING = 2_500
LINES = len(many_tenants.OFFERINGS) * len(many_tenants.UNITS)


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--tenants", type=int, default=10_000)
    asked.add_argument("--rows", type=int, default=10_000_000, help="bucket rows to be rated")
    asked.add_argument("--work", action="store_true", help="be a worker of this benchmark")
    given = asked.parse_args()
    if given.work:
        set_up()
        work()
        return
    with tempfile.TemporaryDirectory(prefix="tokenworks-bench-") as name:
        os.environ["TOKENWORKS_HOME"] = name
        with embedded.hold(Path(name)):
            subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, check=True)
            set_up()
            measure(Path(name), given.tenants, given.rows)


def set_up() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()


def measure(home: Path, tenants: int, rows: int) -> None:
    postgres = Watched(psutil.Process(int((embedded.Postgres(home).data / "postmaster.pid").read_text().split()[0])))
    book_id = many_tenants.price()
    few = max(1, tenants // 10)
    print("| invoices | wall, s | ms an invoice | of it CPU of workers, Postgres | peak RSS of a worker, MB |")
    print("|---|---|---|---|---|", flush=True)
    for first, last in ((1, few), (few + 1, tenants)):
        many_tenants.enter(book_id, first, last, QUARTERS_A_TENANT)
        close(last - first + 1, postgres)
    if rows:
        measure_rating(book_id, rows, postgres)


def close(invoices: int, postgres: Watched) -> None:
    from billing import runs

    run = runs.start(many_tenants.MONTH.date(), grace_hours=0)
    before, began = postgres.cpu_s(), time.perf_counter()
    workers = [start_worker() for _ in range(os.cpu_count() or 1)]
    ended = [worker.communicate()[0].split() for worker in workers]
    wall_s = time.perf_counter() - began
    if any(worker.returncode for worker in workers):
        raise SystemExit("A worker ended early; its words are above.")
    cpu_ms = [each * 1000 / invoices for each in (sum(float(cpu) for cpu, _ in ended), postgres.cpu_s() - before)]
    rss_mb = max(int(rss) for _, rss in ended)
    times = f"{wall_s:.1f} | {wall_s * 1000 / invoices:.1f} | {cpu_ms[0]:.1f}, {cpu_ms[1]:.1f}"
    print(f"| {invoices:,} | {times} | {rss_mb} | {runs.progress(run)}", flush=True)


def start_worker() -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.bench.billing", "--work"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def work() -> None:
    """Work the run's items until none is left; print CPU seconds (children included) and peak memory in 2^20 bytes."""
    from billing import runs

    runs.work()
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu_s = sum(used.ru_utime + used.ru_stime for used in (own, children))
    print(f"{cpu_s} {max(own.ru_maxrss, children.ru_maxrss) // 1024}")


def measure_rating(book_id: int, rows: int, postgres: Watched) -> None:
    """Draft the month of tenants that have QUARTERS_WHEN_RATING buckets for each line, and throw the drafts away."""
    tenants = max(1, rows // (QUARTERS_WHEN_RATING * LINES))
    many_tenants.enter(book_id, 1_000_001, 1_000_000 + tenants, QUARTERS_WHEN_RATING)
    rated = tenants * QUARTERS_WHEN_RATING * LINES
    before, cpu_before, began = postgres.cpu_s(), time.process_time(), time.perf_counter()
    rating_s = sum(drafted_s(f"tenant-{number}") for number in range(1_000_001, 1_000_001 + tenants))
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_before
    print(
        f"\ndrafted {rated:,} bucket rows in {wall_s:.1f} s, {wall_s * 1e6 / rated:.2f} us a row"
        f" (CPU: {cpu_s:.1f} s of ours, {postgres.cpu_s() - before:.1f} s of Postgres); of it {rating_s:.1f} s"
        " for reading the annex, rating it and stating the month",
        flush=True,
    )


def drafted_s(slug: str) -> float:
    """How long the charges of one draft took, which is not kept."""
    from django.db import transaction

    from billing import drafting, due
    from billing.turns import one_snapshot
    from tenants.models import Tenant

    tenant = Tenant.objects.get(slug=slug)
    with one_snapshot():
        now = datetime.now(UTC)
        invoice = drafting.draft(tenant, many_tenants.MONTH.date(), early=False, now=now)
        began = time.perf_counter()
        due.charges_due(invoice)
        took = time.perf_counter() - began
        assert invoice.lines.count() == LINES
        transaction.set_rollback(True)
    return took


if __name__ == "__main__":
    main()
