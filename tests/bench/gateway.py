"""Measures our gateway against its peers with a benchmark script that is given by path: `make bench-gateway`.

    BENCH=/path/to/gateway_bench.py python -m tests.bench.gateway [--setup | options of that script]

The script gets the options `--ours`, `--ours-key` and `--ours-model`, and prints the table. It needs wrk and nginx.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.bench.ours import MODEL, ROOT, running_gateway

BENCH = Path(os.environ.get("BENCH", ROOT.parent / "shared/bench/gateway_bench.py"))
GATEWAY_CORE = 1  # The script keeps the load and the upstream on core 0, and the peers on core 1.
ON = "one process; keys, price book, plan, rows of limits and a budget, durable journal (group sync every 50 ms)"


def main(arguments: list[str]) -> int:
    if not BENCH.is_file():
        print(f"There is no benchmark script at {BENCH}. Give its path as BENCH=/path/to/gateway_bench.py.")
        return 2
    if "--setup" in arguments:
        return subprocess.run([sys.executable, str(BENCH), "--setup"], check=False).returncode
    with running_gateway(core=GATEWAY_CORE) as ours:
        print(f"Ours: {ON}.", flush=True)
        told = ["--ours", ours.url, "--ours-key", ours.secret, "--ours-model", MODEL]
        return subprocess.run([sys.executable, str(BENCH), *told, *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
