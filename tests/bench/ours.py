"""One gateway process of ours, as a paying tenant gets it, on embedded servers in a home of its own."""

import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from config import embedded
from config.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
WORKER = "http://127.0.0.1:9000"
MODEL = "bench-model"
START_TIMEOUT_S = 120


@dataclass(frozen=True)
class Ours:
    """A running gateway process, and the key that may use MODEL."""

    port: int
    secret: str
    process: psutil.Process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def rss_mb(self) -> float:
        """Resident memory, in units of 2^20 bytes."""
        return float(self.process.memory_info().rss / 2**20)

    @property
    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def running_gateway(*, keys: int = 10, worker: str = WORKER, core: int | None = None) -> Iterator[Ours]:
    """Start servers, migrate, enter the rows, start `python -m config.web` with the gateway's plane alone."""
    from tests.waiting import until

    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="tokenworks-bench-") as name:
        home = Path(name)
        environment = _environment(home, port)
        with embedded.hold(home):
            _run(environment, "manage.py", "migrate", "--verbosity", "0")
            secret = _run(environment, "-m", "tests.bench.enter_rows", worker, str(keys)).strip().splitlines()[-1]
            pinned = ["taskset", "-c", str(core)] if core is not None else []
            web = subprocess.Popen(
                [*pinned, sys.executable, "-m", "config.web"],
                cwd=ROOT,
                env=environment | {"TOKENWORKS_PLANES": "gateway"},
            )
            try:
                ours = Ours(port, secret, psutil.Process(web.pid))
                until(lambda: _knows(ours), "the gateway knows its key", START_TIMEOUT_S, every_s=0.2)
                yield ours
            finally:
                web.terminate()
                web.wait(60)


def _environment(home: Path, port: int) -> dict[str, str]:
    """This process's environment without settings of another copy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOKENWORKS_")}
    for name in ("DATABASE_URL", "REDIS_URL"):
        kept.pop(name, None)
    return kept | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "TOKENWORKS_HOME": str(home),
        "TOKENWORKS_PORT": str(port),
    }


def _run(environment: dict[str, str], *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def _knows(ours: Ours) -> bool:
    request = urllib.request.Request(f"{ours.url}/v1/models", headers={"Authorization": f"Bearer {ours.secret}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return MODEL.encode() in answer.read()
    except OSError:
        return False
