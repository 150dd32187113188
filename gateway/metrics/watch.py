"""Looks at one gateway process when Prometheus asks, and says what it sees. No label names a tenant."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.admission.upkeep import Upkeep
from gateway.breaker import State
from gateway.loading import Snapshots
from gateway.metrics.counts import BOUNDS_US, Counts, Histogram
from gateway.metrics.exposition import Family, Sample, histogram_samples, seconds, single
from gateway.plane import Plane
from metering.segments import segments
from metering.usage import REPORTED_UNITS


@dataclass(frozen=True, slots=True)
class Watch:
    """The parts that are looked at."""

    counts: Counts
    plane: Plane
    upkeep: Upkeep
    snapshots: Snapshots
    spans: Callable[[], Mapping[str, int]] | None = None  # Where they are made: how many, by what became of them.

    def families(self, requests_open: int, journal_bytes: int) -> Iterator[Family]:
        """All there is to say."""
        yield single("tokenworks_requests_open", "gauge", "Requests that are being answered.", requests_open)
        yield from self._of_offerings()
        yield Family(
            "tokenworks_refusals_total",
            "counter",
            "Answers that were an error of ours, by code.",
            [Sample({"code": code}, count) for code, count in sorted(self.counts.refusals.items())],
        )
        retried = self.plane.retries.spent
        yield single("tokenworks_retries_total", "counter", "Requests sent to another worker, or tried there.", retried)
        yield from self._of_workers()
        yield from self._of_journal(journal_bytes)
        yield from self._of_others()

    def _of_offerings(self) -> Iterator[Family]:
        offerings = sorted(self.counts.offerings.items())
        yield Family(
            "tokenworks_requests_total",
            "counter",
            "Attempts at a worker that ended, by deployment and outcome, as recorded.",
            [
                Sample({"offering": name, "deployment": deployment, "outcome": str(outcome)}, count)
                for name, each in offerings
                for (deployment, outcome), count in each.outcomes.items()
            ],
        )
        yield Family(
            "tokenworks_tokens_total",
            "counter",
            "Tokens of these, billed or not. Units do not overlap.",
            [
                Sample({"offering": name, "unit": str(unit)}, count)
                for name, each in offerings
                for unit, count in zip(REPORTED_UNITS, each.tokens, strict=True)
                if count
            ],
        )
        first_bytes = [(name, each.first_byte) for name, each in offerings]
        yield times("tokenworks_first_byte_seconds", "From their beginning to the answer's first byte.", first_bytes)
        durations = [(name, each.duration) for name, each in offerings]
        yield times("tokenworks_duration_seconds", "From their beginning to their recorded end.", durations)

    def _of_workers(self) -> Iterator[Family]:
        standings = [(shown(each.base_url), each) for each in self.plane.router.standings()]
        yield Family(
            "tokenworks_worker_requests_open",
            "gauge",
            "Requests of this gateway at a worker.",
            [Sample({"worker": worker}, each.open) for worker, each in standings],
        )
        yield Family(
            "tokenworks_worker_breaker",
            "gauge",
            "1 for the state of a worker's circuit breaker.",
            [
                Sample({"worker": worker, "state": state.value}, int(each.breaker.state is state))
                for worker, each in standings
                for state in State
            ],
        )
        yield Family(
            "tokenworks_worker_ill",
            "gauge",
            "1 where probes in a row went unanswered.",
            [Sample({"worker": worker}, int(each.ill)) for worker, each in standings],
        )
        yield Family(
            "tokenworks_upstream_connections",
            "gauge",
            "Connections to a worker, busy and idle.",
            [Sample({"worker": shown(url)}, count) for url, count in self.plane.upstreams.connections().items()],
        )

    def _of_journal(self, journal_bytes: int) -> Iterator[Family]:
        journal = self.plane.journal
        recovered = journal.recovered
        yield single("tokenworks_journal_bytes", "gauge", "Of the journal that were not deleted yet.", journal_bytes)
        yield single("tokenworks_journal_records_total", "counter", "Records ever written.", journal.sequence)
        yield single(
            "tokenworks_journal_unsynced_seconds",
            "gauge",
            "How long the oldest record may have waited for the disk.",
            seconds(journal.unsynced_us),
        )
        yield single(
            "tokenworks_journal_recovered_requests",
            "gauge",
            "Requests that the start of this process found open and closed as interrupted.",
            recovered.interrupted,
        )
        yield single(
            "tokenworks_journal_recovered_bytes_cut",
            "gauge",
            "Bytes of a torn end that the start of this process cut.",
            recovered.bytes_cut,
        )

    def _of_others(self) -> Iterator[Family]:
        age_us = self.snapshots.age_us()
        if age_us is not None:
            yield single(
                "tokenworks_snapshot_age_seconds",
                "gauge",
                "Since the snapshot was last compared with Postgres by this process.",
                seconds(age_us),
            )
        calls = self.upkeep.counters.calls
        if self.spans is not None:
            yield Family(
                "tokenworks_spans_total",
                "counter",
                "Spans that reached their collector, that it did not take, and for which there was no room.",
                [Sample({"fate": fate}, count) for fate, count in self.spans().items()],
            )
        yield single("tokenworks_counter_calls_total", "counter", "Calls to Valkey for limits and budgets.", calls)
        yield single(
            "tokenworks_counters_away", "gauge", "1 where Valkey did not answer when last asked.", int(self.upkeep.away)
        )


def times(name: str, meaning: str, histograms: list[tuple[str, Histogram]]) -> Family:
    samples = [
        sample
        for offering, each in histograms
        for sample in histogram_samples({"offering": offering}, BOUNDS_US, each.counts, each.sum_us)
    ]
    return Family(name, "histogram", meaning, samples)


def shown(base_url: str) -> str:
    """A worker's address; what stands before an @ may be a password."""
    return base_url.rsplit("@", 1)[-1]


def bytes_of(folder: Path) -> int:
    """Of a journal's segments. The shipper may delete one meanwhile."""
    total = 0
    for segment in segments(folder):
        with suppress(FileNotFoundError):
            total += segment.path.stat().st_size
    return total
