"""Replays a whole trace through a copy of its own and prints what every book says: `make trace`, `make trace-kills`.

    python -m tests.stories.whole_trace FILE.csv [--kill] [--speed-up N]

With --kill the processes are killed in turn while it runs. It ends with an assertion where two books disagree.
"""

import argparse
import tempfile
from decimal import Decimal
from pathlib import Path

from tests.stories import books, killing, trace
from tests.stories.copy_of_tokenworks import Copy, running_copy
from tests.stories.trace import Totals
from tests.waiting import until

ALLOCATION_TIMEOUT_S = 150
ACME_TAX_PERCENT = Decimal("19.00")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("trace", type=Path)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--speed-up", type=int, default=20, help="with --kill: how much faster than the trace")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tokenworks-trace-") as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        with running_copy(home, speed="h100" if options.kill else "max") as copy:
            log = Path(folder) / "received.jsonl"
            if options.kill:
                received = killing.replay_under_fire(copy, options.trace, log, speed_up=options.speed_up)
                copy.wait_until_counted()
                interrupted = killing.assert_billed_is_answered(
                    copy, received, rows=trace.totals_of(options.trace).requests
                )
                expected = books.by_events(copy)
                cut = sum(row["outcome"] == "cut" for row in received)
                show("answered", killing.answered_totals(received))
                print(f"{'cut':12}{cut:>12,} requests, {interrupted:,} of them recorded as interrupted")
            else:
                expected = trace.totals_of(options.trace)
                replay(copy, options.trace, log)
                copy.wait_until_counted()
            compare(copy, expected)


def replay(copy: Copy, path: Path, log: Path) -> None:
    target = ("--url", copy.url, "--key", copy.tenants[0].secret, "--model", copy.models[0])
    done = copy.command("replay", str(path), *target, "--flat-out", "--mixed", "--strict", "--log", str(log))
    assert done.returncode == 0, done.stderr
    print(done.stdout)


def compare(copy: Copy, expected: Totals) -> None:
    acme = copy.tenants[0]
    invoice = books.close_month(copy, acme)
    said = {
        "expected": expected,
        "events": books.by_events(copy),
        "buckets": books.by_buckets(copy),
        "usage API": books.by_usage_api(copy, acme),
        "invoice": books.by_invoice(invoice),
    }
    for who, totals in said.items():
        show(who, totals)
    assert len(set(said.values())) == 1, "the books disagree"
    books.assert_priced_exactly(invoice, ACME_TAX_PERCENT)
    print(f"{invoice['number']}: net {invoice['net']}, tax {invoice['tax']}, gross {invoice['gross']}")
    until(lambda: any(hour.allocated for hour in books.pool_hours(copy)), "costs are allocated", ALLOCATION_TIMEOUT_S)
    for hour in books.pool_hours(copy):
        assert hour.cost == hour.allocated + hour.unallocated
        assert hour.shares == hour.allocated
        print(f"pool-hour: {hour.cost:f} = {hour.allocated:f} allocated + {hour.unallocated:f} unallocated")


def show(who: str, totals: Totals) -> None:
    print(f"{who:12}{totals.requests:>12,} requests {totals.input:>14,} input {totals.output:>12,} output")


if __name__ == "__main__":
    main()
