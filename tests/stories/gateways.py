"""Gateway processes of their own beside a copy's: they share its home, servers and budgets, and can be killed."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from config.ports import free_ports
from tests.stories.copy_of_tokenworks import Copy, environment


class GatewayProcess:
    """`python -m config.web` with the gateway's plane alone; its port and its journal's name outlive it."""

    def __init__(self, copy: Copy, port: int, journal: str) -> None:
        self.port = port
        self._log = copy.home / "log" / f"{journal}.log"
        self._environment = environment(copy.home, port) | {
            "TOKENWORKS_PLANES": "gateway",
            "TOKENWORKS_JOURNAL_NAME": journal,
        }
        self._process = self._started()

    def kill_and_start_again(self) -> None:
        """SIGKILL it and start another in its place, without waiting for that to be ready."""
        assert self._process.poll() is None, f"it ended by itself; {self._log} says why"
        self._process.kill()
        self._process.wait()
        self._process = self._started()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)

    def _started(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "config.web"], env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )


@contextmanager
def gateway_processes(copy: Copy, number: int) -> Iterator[Sequence[GatewayProcess]]:
    """So many gateways; that they have been started does not say that they answer yet."""
    started: list[GatewayProcess] = []
    try:
        for i, port in enumerate(free_ports(number), start=1):
            started.append(GatewayProcess(copy, port, f"budgets-{i}"))
        yield started
    finally:
        for gateway in started:
            gateway.stop()
