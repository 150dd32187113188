"""Thousands of seeds, a table of what was injected, and the trace of one: `make soak`.

    python -m tests.metering.simulation [--seeds N] [--from SEED] [--kill-at PLACE | --kill-at-each] [--trace]

It runs on an embedded Postgres of a home of its own, and ends with 1 where a seed failed.
"""

import argparse
import logging
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.metering.simulation.runs import Runs


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak ARGS=...", description="Simulate metering under faults.")
    parser.add_argument("--seeds", type=int, default=3000)
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--trace", action="store_true", help="print every step, and what the product logs")
    parser.add_argument("--kill-at", type=int, help="one kill, at this place of the seed, and nothing else")
    parser.add_argument("--kill-at-each", action="store_true", help="each seed once for each of its places")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # So that its Postgres ends with it.
    with tempfile.TemporaryDirectory(prefix="tokenworks-soak-") as folder:
        for name in [name for name in os.environ if name.startswith("TOKENWORKS_")]:
            del os.environ[name]
        os.environ |= {"TOKENWORKS_HOME": folder, "DJANGO_SETTINGS_MODULE": "config.settings"}
        for name in ("DATABASE_URL", "REDIS_URL"):
            os.environ.pop(name, None)
        from config import embedded

        with embedded.hold(Path(folder), durable=False, wanted=(True, False)):
            return soak(Path(folder), options)


def soak(home: Path, options: argparse.Namespace) -> int:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from config import embedded
    from tests.metering.simulation.runs import SeedFailed, runs

    call_command("migrate", verbosity=0)
    server = embedded.Postgres(home, durable=False)

    def restart() -> None:
        server.stop()
        server.start()

    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="      log: %(message)s")
    failed: list[int] = []
    began = time.monotonic()
    with runs(quiet=not options.trace, restart=restart) as made:
        for seed in range(options.first, options.first + options.seeds):
            try:
                if options.kill_at_each:
                    print(f"Seed {seed}: {made.kill_at_each_place(seed)} places", flush=True)
                    continue
                world = made.run(seed, kill_at=options.kill_at)
            except SeedFailed as failure:
                failed.append(seed)
                world = failure.world
                print(failure, flush=True)
            if options.trace:
                print("\n".join(world.trace))
        print_table(made, time.monotonic() - began)
        connections.close_all()
    print(f"{len(failed)} seeds failed: {failed}" if failed else "Every seed held.")
    return 1 if failed else 0


def print_table(made: "Runs", took_s: float) -> None:
    from tests.metering.simulation.faults import CONSEQUENCES, MOST

    print(f"{made.seeds} seeds in {took_s:.0f} s, {made.seeds / took_s:.1f} seeds/s")
    risks = {"answered, and not synced yet when the power was cut": made.at_risk, "of these lost": made.lost}
    injected = dict.fromkeys((*MOST, *CONSEQUENCES), 0) | dict(made.injected)
    for title, counted in (
        ("Requests", dict(made.requests) | risks),
        ("Reports of sources", dict(made.reports)),
        ("Faults", injected),
    ):
        print(f"\n{title}")
        for name, times in counted.items():
            print(f"  {name:75} {times:10,}")
    print()


if __name__ == "__main__":
    sys.exit(main())
