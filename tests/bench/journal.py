"""Measures the journal alone: `python -m tests.bench.journal`, or as a part of `make bench-metering`.

What a record costs, what an append may take by the clock while segments follow one another, and what both would be if
each record were synced by itself. The journals lie where TMPDIR says. Nothing is asserted.

An append that took long may have waited, for the disk or for another thread, or other work had its core: the kernel
counts the two apart, so they are told apart here.
"""

import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import uuid_utils

from metering.journal import Journal
from metering.records import Closed, Opened
from metering.usage import Outcome, Usage, UsageSource

FSYNC_MS = 50
SEGMENT_BYTES = 2 * 2**20  # Small, for many changes of segments; a change costs what is open, not what is full.
ROUNDS = 5
REQUESTS = 30_000
PACED_REQUESTS = 60_000
SYNCED_REQUESTS = 1_000
OPEN = (0, 1_000, 5_000)  # Requests that stay open and are carried into each segment.
WORDS = b'{"prompt_tokens":812,"completion_tokens":164,"total_tokens":976}'


class Row(NamedTuple):
    what: str
    bar: str
    measured: str


class Append(NamedTuple):
    """One append by the clock, in ms; whether its thread gave up its core to wait, and whether it began a segment."""

    ms: float
    waited: bool
    switched: bool


def measure() -> list[Row]:
    rows = [*_cost()]
    for number_open in OPEN:
        rows += _blocking(number_open)
    return rows + _synced_each()


def _requests(number: int) -> list[tuple[Opened, Closed]]:
    return [_request() for _ in range(number)]


def _request() -> tuple[Opened, Closed]:
    at_us = time.time_ns() // 1000
    opened = Opened(uuid_utils.uuid7().bytes, at_us, 1, 10, 100, "llama-3.3-70b", "llama-at-pool-a", True)
    usage = Usage(input_uncached=812, output=164)
    return opened, Closed(
        opened, at_us + 900_000, at_us + 90_000, Outcome.COMPLETED, UsageSource.REPORTED, True, usage, 200, WORDS
    )


@contextmanager
def _journal(fsync_interval_ms: int) -> Iterator[Journal]:
    folder = Path(tempfile.mkdtemp(prefix="tokenworks-bench-journal-"))
    journal = Journal.open(folder, segment_bytes_max=SEGMENT_BYTES, fsync_interval_ms=fsync_interval_ms)
    try:
        yield journal
    finally:
        journal.close()
        shutil.rmtree(folder)


def _cost() -> Iterator[Row]:
    """A tight loop; the appending thread's CPU, which is the event loop's, and with the syncing thread's."""
    loop_us, process_us, rates = [], [], []
    for _ in range(ROUNDS):
        requests = _requests(REQUESTS)
        with _journal(FSYNC_MS) as journal:
            began_s, thread_s, process_s = time.perf_counter(), time.thread_time(), time.process_time()
            for opened, closed in requests:
                journal.append_opened(opened)
                journal.append_closed(closed)
            loop_us.append((time.thread_time() - thread_s) / (2 * REQUESTS) * 1e6)
            process_us.append((time.process_time() - process_s) / (2 * REQUESTS) * 1e6)
            rates.append(2 * REQUESTS / (time.perf_counter() - began_s))
    yield Row(f"CPU a record, sync every {FSYNC_MS} ms, event loop", "under 6 us", _spread(loop_us, "us"))
    yield Row("the same with the syncing thread", "", _spread(process_us, "us"))
    yield Row("records a second, one thread", "", _spread(rates, ""))


def _spread(values: list[float], unit: str) -> str:
    digits = 0 if min(values) > 100 else 1
    low, middle, high = (f"{value:,.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} {unit}".strip() + f" ({low} to {high})"


def _blocking(number_open: int) -> list[Row]:
    appends = _paced(number_open)
    by_clock = sorted(append.ms for append in appends)
    waited = [append.ms for append in appends if append.waited]
    switching = [append.ms for append in appends if append.switched]
    undisturbed = [append.ms for append in appends if append.switched and not append.waited]
    over = [append for append in appends if append.ms > 1]
    while_open = f"{number_open:,} requests open, {len(switching)} changes of segments"
    return [
        Row(f"longest append that waited, {while_open}", "1 ms", f"{max(waited, default=0):.2f} ms"),
        Row("longest append that changed segments", "1 ms", f"{max(switching):.2f} ms"),
        Row("of them the median, without waiting", "", f"{statistics.median(undisturbed or [0]):.2f} ms"),
        Row(
            f"longest of all {len(appends):,} appends; 99.9 of 100",
            "",
            f"{by_clock[-1]:.2f} ms; {by_clock[int(len(by_clock) * 0.999)]:.3f} ms",
        ),
        Row(
            "appends over 1 ms: that waited, and whose core had other work",
            "none",
            f"{sum(append.waited for append in over)}, {sum(not append.waited for append in over)}",
        ),
    ]


def _paced(number_open: int) -> list[Append]:
    """Bursts of ten requests, with half a millisecond between them in which an event loop does other things."""
    appends = []
    with _journal(FSYNC_MS) as journal:
        for opened, _ in _requests(number_open):
            journal.append_opened(opened)
        for number in range(PACED_REQUESTS):
            opened, closed = _request()
            appends.append(_timed(journal, opened))
            appends.append(_timed(journal, closed))
            if number % 10 == 9:
                time.sleep(0.0005)
    return appends


def _timed(journal: Journal, record: Opened | Closed) -> Append:
    appended_bytes = journal._writer.appended_bytes
    waits = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    began_ns = time.perf_counter_ns()
    if isinstance(record, Opened):
        journal.append_opened(record)
    else:
        journal.append_closed(record)
    took_ms = (time.perf_counter_ns() - began_ns) / 1e6
    waited = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw > waits
    return Append(took_ms, waited, switched=journal._writer.appended_bytes < appended_bytes)


def _synced_each() -> list[Row]:
    requests = _requests(SYNCED_REQUESTS)
    with _journal(0) as journal:
        began_s, thread_s = time.perf_counter(), time.thread_time()
        longest_ms = max(_timed(journal, record).ms for pair in requests for record in pair)
        took_s, spent_s = time.perf_counter() - began_s, time.thread_time() - thread_s
    return [
        Row("each record synced by itself: records a second", "", f"{2 * SYNCED_REQUESTS / took_s:,.0f}"),
        Row("CPU a record, event loop", "", f"{spent_s / (2 * SYNCED_REQUESTS) * 1e6:.1f} us"),
        Row("longest append", "", f"{longest_ms:.1f} ms"),
    ]


def table(rows: list[Row]) -> str:
    lines = (f"| {row.what} | {row.bar} | {row.measured} |" for row in rows)
    return "\n".join(("| journal | bar | measured |", "|---|---|---|", *lines))


if __name__ == "__main__":
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    print(table(measure()))
