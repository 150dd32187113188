"""Measures our gateway against its peers with a benchmark script that is given by path: `make bench-gateway`.

    BENCH=/path/to/gateway_bench.py python -m tests.bench.gateway [--floor] [--setup | options of that script]

The script gets the options `--ours`, `--ours-key` and `--ours-model`, and prints the table. It needs wrk and nginx.
With `--floor` it measures a relay that reads nothing in place of our gateway: the least that one in Python can cost.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from config.ports import free_ports
from tests.bench.ours import MODEL, ROOT, Ours, running_gateway

BENCH = Path(os.environ.get("BENCH", ROOT.parent / "shared/bench/gateway_bench.py"))
GATEWAY_CORE = 1  # The script keeps the load and the upstream on core 0, and the peers on core 1.
ON = "one process; keys, price book, plan, rows of limits and a budget, durable journal (group sync every 50 ms)"
FLOOR = "in its place, a relay of bytes that reads nothing"


@contextmanager
def floor(core: int) -> Iterator[Ours]:
    (port,) = free_ports(1)
    relay = subprocess.Popen(
        ["taskset", "-c", str(core), sys.executable, "-m", "tests.bench.floor", str(port)], cwd=ROOT
    )
    try:
        yield Ours(port, "none", psutil.Process(relay.pid))
    finally:
        relay.terminate()
        relay.wait(60)


def main(arguments: list[str]) -> int:
    if not BENCH.is_file():
        print(f"There is no benchmark script at {BENCH}. Give its path as BENCH=/path/to/gateway_bench.py.")
        return 2
    if "--setup" in arguments:
        return subprocess.run([sys.executable, str(BENCH), "--setup"], check=False).returncode
    at_the_floor = "--floor" in arguments
    with floor(GATEWAY_CORE) if at_the_floor else running_gateway(core=GATEWAY_CORE) as ours:
        print(f"Ours: {FLOOR if at_the_floor else ON}.", flush=True)
        told = ["--ours", ours.url, "--ours-key", ours.secret, "--ours-model", MODEL]
        rest = [argument for argument in arguments if argument != "--floor"]
        return subprocess.run([sys.executable, str(BENCH), *told, *rest], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
