"""Measures metering: `make bench-metering ARGS="[--events N] [--rounds N] [--stored N ...]"`.

Journals are written first. Each round then ships and folds the same journals, apart and at once, and copies the same
rows raw, all on an embedded Postgres of a home of its own. Rates are by the clock, and CPU is measured beside them,
for other work may hold the cores. Nothing is asserted.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import django
import psutil
from psycopg import Copy

from config import embedded
from tests.bench import ingest, journal
from tests.bench.busy_hours import write_journals
from tests.bench.ours import ROOT
from tests.waiting import until

JOURNALS = 2
TIMEOUT_S = 900
COPY_BLOCK_BYTES = 2**18
RAW, END_TO_END = "raw COPY, no index", "end to end"
WORKER = ("-m", "celery", "--app", "config", "worker", "--concurrency", "2", "--without-mingle", "--without-gossip")


@dataclass(frozen=True)
class Measured:
    """What one piece of work took: by the clock, and of CPU and memory by process."""

    wall_s: float
    cpu_s: dict[str, float]
    rss_mb: dict[str, float]


class Ended(Exception):
    """A process has ended that should have been measured. What it said stands above."""


class Watched:
    """A process and all that it started: their CPU seconds and the largest resident memory of one of them."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.peak_mb = 0.0

    def family(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    def cpu_s(self) -> float:
        """Also of children that ended."""
        spent = 0.0
        for process in self.family():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            spent += times.user + times.system + times.children_user + times.children_system
        return spent

    def look(self) -> None:
        """Raises Ended: what it should do would be waited for in vain."""
        if self._process.status() == psutil.STATUS_ZOMBIE:
            raise Ended
        for process in self.family():
            try:
                self.peak_mb = max(self.peak_mb, process.memory_info().rss / 2**20)
            except psutil.NoSuchProcess:
                continue


@dataclass(frozen=True)
class Bench:
    """A home with its servers, and the journals that every round starts with."""

    home: Path
    events: int

    @property
    def pristine(self) -> Path:
        return self.home / "pristine"

    @property
    def rows(self) -> Path:
        return self.home / "rows.copy"

    def postgres(self) -> Watched:
        pid = int((embedded.Postgres(self.home).data / "postmaster.pid").read_text().splitlines()[0])
        return Watched(psutil.Process(pid))

    def put_journals(self) -> None:
        """The journals appear at once, as names of the same files: deleting them leaves the pristine ones."""
        target = self.home / "journal"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.pristine, self.home / "journal.new", copy_function=os.link)
        (self.home / "journal.new").rename(target)

    def empty(self) -> None:
        execute("TRUNCATE metering_event, metering_batch, metering_bucket")
        execute("VACUUM metering_batch, metering_bucket")
        execute("CHECKPOINT")


def execute(statement: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement)


def number(statement: str) -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement)
        return int(cursor.fetchone()[0] or 0)


def shipped() -> int:
    return number("SELECT sum(events) FROM metering_batch")


def folded() -> int:
    return number("SELECT sum(events) FROM metering_batch WHERE folded_at IS NOT NULL")


def measure(deed: Callable[[], object], done: Callable[[], bool] | None = None, **watched: Watched) -> Measured:
    """Do it, wait until it is done, and say what that took."""
    before = {name: each.cpu_s() for name, each in watched.items()}
    began = time.perf_counter()
    deed()
    while done is not None and not done():
        assert time.perf_counter() - began < TIMEOUT_S, "waited in vain"
        for each in watched.values():
            each.look()
        time.sleep(0.05)
    wall_s = time.perf_counter() - began
    return Measured(
        wall_s,
        {name: each.cpu_s() - before[name] for name, each in watched.items()},
        {name: each.peak_mb for name, each in watched.items()},
    )


@contextmanager
def running(home: Path, *arguments: str) -> Iterator[Watched]:
    said = home / "log" / "bench.log"
    with said.open("ab") as log:
        process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=log, stderr=log)
    try:
        yield Watched(psutil.Process(process.pid))
    finally:
        if process.poll() is not None:
            print(said.read_text()[-2_000:], flush=True)
        process.terminate()
        process.wait(60)


def ship_alone(bench: Bench) -> Measured:
    bench.empty()
    shutil.rmtree(bench.home / "journal", ignore_errors=True)
    with running(bench.home, "manage.py", "ship") as shipper:
        time.sleep(3)  # It loads; with nothing to ship there is nothing to see that by.
        return measure(
            bench.put_journals, lambda: shipped() == bench.events, shipper=shipper, postgres=bench.postgres()
        )


def fold_alone(bench: Bench) -> Measured:
    from metering import rollup

    return measure(rollup.fold_everything, folder=Watched(psutil.Process()), postgres=bench.postgres())


def end_to_end(bench: Bench) -> Measured:
    """A shipper and a Celery worker of two processes, which the shipper tells of every batch."""
    bench.empty()
    shutil.rmtree(bench.home / "journal", ignore_errors=True)
    with running(bench.home, *WORKER) as worker, running(bench.home, "manage.py", "ship") as shipper:
        until(lambda: len(worker.family()) == 3, "the worker runs", 60)
        time.sleep(3)
        return measure(
            bench.put_journals,
            lambda: folded() == bench.events,
            shipper=shipper,
            worker=worker,
            postgres=bench.postgres(),
        )


def copy_rows_out(bench: Bench) -> None:
    from django.db import connection

    from metering.event_rows import COLUMNS

    columns = ", ".join(COLUMNS)
    with connection.cursor() as cursor, bench.rows.open("wb") as file:
        query = f"SELECT {columns} FROM metering_event ORDER BY id"
        copying: AbstractContextManager[Copy] = cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT BINARY)")
        with copying as copy:
            for block in copy:
                file.write(block)


def raw_copy(bench: Bench, including: str) -> Measured:
    from django.db import connection

    from metering.event_rows import COLUMNS

    execute("DROP TABLE IF EXISTS raw")
    execute(f"CREATE TABLE raw (LIKE metering_event INCLUDING DEFAULTS {including})")
    execute("CHECKPOINT")

    def copy_in() -> None:
        with connection.cursor() as cursor, bench.rows.open("rb") as file:
            statement = f"COPY raw ({', '.join(COLUMNS)}) FROM STDIN (FORMAT BINARY)"
            copying: AbstractContextManager[Copy] = cursor.copy(statement)
            with copying as copy:
                while block := file.read(COPY_BLOCK_BYTES):
                    copy.write(block)

    return measure(copy_in, client=Watched(psutil.Process()), postgres=bench.postgres())


def run_round(bench: Bench, found: dict[str, list[Measured]]) -> None:
    def keep(name: str, measured: Measured) -> None:
        found.setdefault(name, []).append(measured)
        print(f"  {line(name, [measured], bench.events)}", flush=True)

    keep("ship alone", ship_alone(bench))
    keep("fold alone", fold_alone(bench))
    if not bench.rows.exists():
        copy_rows_out(bench)
    execute("TRUNCATE metering_event")
    keep(RAW, raw_copy(bench, ""))
    keep("raw COPY, all indexes and checks", raw_copy(bench, "INCLUDING INDEXES INCLUDING CONSTRAINTS"))
    execute("DROP TABLE raw")
    keep(END_TO_END, end_to_end(bench))


def line(name: str, measured: list[Measured], events: int) -> str:
    """A row of the table: medians of the rounds, and what was the most of memory."""
    rates = [events / each.wall_s for each in measured]
    cpu = [
        f"{who} {statistics.median(each.cpu_s[who] for each in measured) / events * 1e6:.1f}"
        for who in measured[0].cpu_s
    ]
    rss = [
        f"{who} {max(each.rss_mb[who] for each in measured):.0f}"
        for who in ("shipper", "worker")
        if who in measured[0].rss_mb
    ]
    spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
    return f"| {name} | {statistics.median(rates):,.0f} ({spread}) | {', '.join(cpu)} | {', '.join(rss)} |"


def report(bench: Bench, found: dict[str, list[Measured]]) -> None:
    print("| | events/s (spread) | CPU, us/event | peak RSS, MB |\n|---|---|---|---|")
    for label, measured in found.items():
        print(line(label, measured, bench.events))
    ratios = [raw.wall_s / ours.wall_s for raw, ours in zip(found[RAW], found[END_TO_END], strict=True)]
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    print(f"end to end, in parts of the raw COPY: {statistics.median(ratios):.3f} ({spread})")


def report_growth(bench: Bench, sizes: list[int]) -> None:
    """What folding the journals' events costs when so many others are stored."""
    from tests.bench import many_events

    ship_alone(bench)
    stored, first_us = bench.events, 0.0
    for size in sizes:
        many_events.fill(stored, max(stored, size))
        stored = max(stored, size)
        costs = many_events.fold_again()
        first_us = first_us or statistics.median(costs)
        spread = f"{min(costs):.2f} to {max(costs):.2f}, {statistics.median(costs) / first_us:.3f} of the first"
        print(
            f"folding with {stored:,} events stored: {statistics.median(costs):.2f} us an event ({spread})", flush=True
        )


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--events", type=int, default=1_000_000)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--stored", type=int, nargs="*", default=[], help="also fold with so many events stored")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="tokenworks-bench-") as name:
        os.environ["TOKENWORKS_HOME"] = name
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        home = Path(name)
        with embedded.hold(home):
            bench = Bench(home, given.events)
            django.setup()
            subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, check=True)
            write_journals(bench.pristine, JOURNALS, given.events)
            measure_all(bench, given.rounds, given.stored)


def measure_all(bench: Bench, rounds: int, stored: list[int]) -> None:
    from tests.bench.many_events import report_month_of_usage

    found: dict[str, list[Measured]] = {}
    for number_of_round in range(rounds):
        print(f"round {number_of_round + 1}", flush=True)
        run_round(bench, found)
    if rounds:
        report(bench, found)
    report_month_of_usage()
    if rounds:
        print(ingest.table([ingest.measure() for _ in range(rounds)]), flush=True)
        print(journal.table(journal.measure()), flush=True)
    if stored:
        report_growth(bench, sorted(stored))


if __name__ == "__main__":
    main()
