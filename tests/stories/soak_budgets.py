"""Drains fresh budgets again and again while gateways are killed, and prints what came of each: `make soak-budgets`.

    python -m tests.stories.soak_budgets [--runs N]

N runs in one piece and N streamed. It ends with an assertion where a budget was overspent.
"""

import argparse
import tempfile
from pathlib import Path

from tests.stories.copy_of_tokenworks import running_copy
from tests.stories.draining import AFFORDED, CLIENTS, GATEWAYS, drained
from tests.stories.gateways import gateway_processes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=20, help="of each kind")
    options = parser.parse_args()
    print(f"{CLIENTS} clients, {GATEWAYS} gateway processes, a budget that affords {AFFORDED} requests")
    with tempfile.TemporaryDirectory(prefix="tokenworks-budgets-") as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        with running_copy(home, speed="b200") as copy, gateway_processes(copy, GATEWAYS) as gateways:
            for number in range(1, options.runs + 1):
                for streamed in (False, True):
                    run = drained(copy, gateways, streamed=streamed)
                    print(f"{number:3} {'streamed' if streamed else 'one piece'}: {run}", flush=True)
                    run.assert_within_budget()


if __name__ == "__main__":
    main()
