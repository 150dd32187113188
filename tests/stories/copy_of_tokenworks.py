"""A whole copy of Tokenworks in real processes, with a home and a port of its own, and ways to look at it and hurt it.

What a story reads from it comes by HTTP, by the command line or by plain SQL: nothing here shares the product's code
for counting, rating or allocating.
"""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from config import embedded
from config.ports import free_ports
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 120
COMMAND_TIMEOUT_S = 900


@dataclass(frozen=True)
class StoryTenant:
    """A tenant of the copy, with its key."""

    slug: str
    secret: str


@dataclass(frozen=True)
class Copy:
    """A running copy. `tenants` are Acme and Umbrella of the demo, `models` what their plans price."""

    home: Path
    port: int
    tenants: Sequence[StoryTenant]
    models: Sequence[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def month(self) -> str:
        return f"{datetime.now(UTC):%Y-%m}"

    def sql(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Rows of a query on the copy's own Postgres."""
        with psycopg.connect(embedded.database_url(self.home)) as connection:
            return connection.execute(query.encode(), arguments).fetchall()

    def api(self, path: str, secret: str) -> Any:
        """The JSON of a GET of the office, as an application of the tenant."""
        request = urllib.request.Request(f"{self.url}{path}", headers={"Authorization": f"Bearer {secret}"})
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `tokenworks ...` in the copy's home."""
        return subprocess.run(
            command_line(*arguments),
            env=environment(self.home, self.port),
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )

    def pid(self, name: str) -> int | None:
        """The process that `name` has now: web, shipper, worker, beat or postgres; None while there is none."""
        path = self.home / ("postgres/postmaster.pid" if name == "postgres" else f"run/{name}.pid")
        try:
            return int(path.read_text().split()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def kill(self, name: str) -> None:
        """SIGKILL it, and wait until the supervisor has put another in its place."""
        until(lambda: self.pid(name), f"{name} runs", START_TIMEOUT_S)
        killed = self.pid(name)
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        until(lambda: self.pid(name) not in (None, killed), f"{name} runs again", START_TIMEOUT_S)

    def wait_until_counted(self) -> None:
        """Ship what the journals hold, recovered requests included, and wait until every batch is folded."""
        until(lambda: answers(self.port), "the web process is up again", START_TIMEOUT_S)
        shipped = self.command("ship", "--once")
        assert shipped.returncode == 0, shipped.stderr
        unfolded = "SELECT count(*) FROM metering_batch WHERE folded_at IS NULL"
        until(lambda: self.sql(unfolded) == [(0,)], "every batch is folded", START_TIMEOUT_S, every_s=0.2)


def command_line(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "manage.py"), *arguments]


def environment(home: Path, port: int) -> dict[str, str]:
    """This process's environment without the test run's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOKENWORKS_")}
    for name in ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"):
        kept.pop(name, None)
    return kept | {"TOKENWORKS_HOME": str(home), "TOKENWORKS_PORT": str(port)}


@contextmanager
def running_copy(home: Path, *, speed: str) -> Iterator[Copy]:
    """`tokenworks run` in `home`, two simulated pools at `speed`, and the demo's rows."""
    port, h100, b200 = free_ports(3)
    worker_ports = {"h100": h100, "b200": b200}
    with simulators(home, worker_ports, speed), main_process(home, port):
        entered = subprocess.run(
            [sys.executable, "-m", "tests.stories.enter_rows", json.dumps(worker_ports)],
            cwd=ROOT,
            env=environment(home, port),
            capture_output=True,
            text=True,
            check=False,
        )
        assert entered.returncode == 0, entered.stderr
        rows = json.loads(entered.stdout)
        copy = Copy(home, port, [StoryTenant(**tenant) for tenant in rows["tenants"]], rows["models"])
        until(lambda: knows(copy), "the gateway knows the key and its models", START_TIMEOUT_S)
        yield copy


def knows(copy: Copy) -> bool:
    try:
        return len(copy.api("/v1/models", copy.tenants[0].secret)["data"]) == len(copy.models)
    except OSError:
        return False


@contextmanager
def simulators(home: Path, ports: dict[str, int], speed: str) -> Iterator[None]:
    models = {"h100": "simulated-70b", "b200": "simulated-70b-turbo"}
    started = [
        subprocess.Popen(
            command_line("simulate", "--model", models[slug], "--port", str(port), "--speed", speed),
            env=environment(home, port),
            stdout=subprocess.DEVNULL,
        )
        for slug, port in ports.items()
    ]
    try:
        yield
    finally:
        for process in started:
            process.terminate()
            process.wait(30)


@contextmanager
def main_process(home: Path, port: int) -> Iterator[None]:
    log = home / "run-output.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            command_line("run"), env=environment(home, port), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        until(lambda: answers(port) or process.poll() is not None, f"the copy is up; {log} says more", START_TIMEOUT_S)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(60)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
