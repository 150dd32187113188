"""Measures the ingest API: `python -m tests.bench.ingest [--events N] [--rounds N]`.

Calls of 500 events, each with an id of its own, are read and stored by the shell alone, and sent over keep-alive to one
office process. Rates are by the clock; CPU is measured beside them, for other work may hold the cores. Nothing is
asserted but that every event was stored.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from config import embedded
from config.ports import free_ports
from tests.bench.ours import ROOT
from tests.waiting import until

CALL_EVENTS = 500
CONNECTIONS = 2  # So that the process has the next call when it is done with one.
NDJSON = "application/x-ndjson"
PATH = "/api/usage-events/"


@dataclass(frozen=True)
class Rate:
    """Events a second by the clock, and CPU microseconds an event of the process that stores them and of Postgres."""

    name: str
    events_per_s: float
    process_cpu_us: float
    postgres_cpu_us: float


@dataclass(frozen=True)
class Caller:
    """A tenant's key."""

    secret: str
    tenant_id: int
    project_id: int
    key_id: int


def measure(events: int = 50_000) -> list[Rate]:
    """One round, in a home that TOKENWORKS_HOME names, with its servers running, migrated, and Django set up."""
    caller = _caller()
    postgres = psutil.Process(_postgres_pid())
    shell = _bodies("shell", events)
    over_http = _bodies("http", events)
    with _office() as (process, port):
        _send(port, caller, _bodies("warm", 5_000))
        return [
            _timed("the shell alone", lambda: _store(caller, shell), events, psutil.Process(), postgres),
            _timed("over HTTP", lambda: _send(port, caller, over_http), events, process, postgres),
            _timed("over HTTP, all repeated", lambda: _send(port, caller, over_http), events, process, postgres),
        ]


def _caller() -> Caller:
    from tenants import registry
    from tenants.models import ApiKey, Tenant

    address = {
        "legal_name": "Ingest",
        "address_lines": "Here 1\n10115 Berlin",
        "country": "DE",
        "invoice_email": "a@ingest.example",
    }
    issued = registry.admit(Tenant(slug=f"ingest-{time.time_ns()}", name="Ingest", currency="USD", **address))
    ApiKey.objects.filter(pk=issued.key.pk).update(reports_usage=True)
    project = issued.key.project
    return Caller(issued.secret, project.tenant_id, project.pk, issued.key.pk)


def _bodies(run: str, events: int) -> list[bytes]:
    """Calls of NDJSON whose events are spread over the last day, as a gateway elsewhere would report them."""
    start = datetime.now(UTC) - timedelta(days=1)
    lines = [
        json.dumps(
            {
                "id": f"{run}-{number:08d}",
                "source": "https://gateway.example/eu-1",
                "time": (start + timedelta(seconds=80_000 * number / events)).isoformat(),
                "offering": ("llama-3.3-70b", "qwen-3-8b", "mistral-small")[number % 3],
                "deployment": "elsewhere",
                "usage": {"input_uncached": 900 + number % 700, "input_cached": number % 300, "output": number % 500},
            }
        ).encode()
        for number in range(events)
    ]
    return [b"\n".join(lines[start : start + CALL_EVENTS]) for start in range(0, events, CALL_EVENTS)]


def _store(caller: Caller, bodies: list[bytes]) -> None:
    from django.utils import timezone

    from metering.ingest import ingest
    from metering.ingest_formats.reading import read
    from metering.reporter import Reporter

    reporter = Reporter(caller.tenant_id, "ingest", caller.project_id, caller.key_id)
    for body in bodies:
        found = read(body, NDJSON, {}, tenant="ingest", events_max=CALL_EVENTS)
        receipt = ingest(reporter, found, now=timezone.now())
        assert receipt.accepted + receipt.duplicates == CALL_EVENTS


def _send(port: int, caller: Caller, bodies: list[bytes]) -> None:
    with ThreadPoolExecutor(CONNECTIONS) as senders:
        parts = [bodies[number::CONNECTIONS] for number in range(CONNECTIONS)]
        list(senders.map(lambda part: _send_in_turn(port, caller, part), parts))


def _send_in_turn(port: int, caller: Caller, bodies: list[bytes]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {caller.secret}", "Content-Type": NDJSON}
    for body in bodies:
        connection.request("POST", PATH, body, headers)
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 200, said
        receipt = json.loads(said)
        assert receipt["accepted"] + receipt["duplicates"] == CALL_EVENTS, receipt
    connection.close()


def _timed(name: str, deed: Callable[[], None], events: int, process: psutil.Process, postgres: psutil.Process) -> Rate:
    before, began = (_cpu_s(process), _cpu_s(postgres)), time.perf_counter()
    deed()
    wall_s = time.perf_counter() - began
    spent = [(now - then) / events * 1e6 for now, then in zip((_cpu_s(process), _cpu_s(postgres)), before, strict=True)]
    return Rate(name, events / wall_s, *spent)


def _cpu_s(process: psutil.Process) -> float:
    """Of the process and, for Postgres, of its backends, also of those that ended."""
    times = process.cpu_times()
    if process.pid == os.getpid():
        return float(times.user + times.system)
    own = float(times.user + times.system + times.children_user + times.children_system)
    return own + sum(each.user + each.system for each in (child.cpu_times() for child in process.children()))


def _postgres_pid() -> int:
    home = Path(os.environ["TOKENWORKS_HOME"])
    return int((embedded.Postgres(home).data / "postmaster.pid").read_text().splitlines()[0])


@contextmanager
def _office() -> Iterator[tuple[psutil.Process, int]]:
    """One web process with the office alone, as it is in production."""
    (port,) = free_ports(1)
    environment = os.environ | {"TOKENWORKS_PLANES": "office", "TOKENWORKS_PORT": str(port)}
    web = subprocess.Popen([sys.executable, "-m", "config.web"], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _answers(port), "the office answers", 60, every_s=0.2)
        yield psutil.Process(web.pid), port
    finally:
        web.terminate()
        web.wait(60)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def table(rounds: list[list[Rate]]) -> str:
    """Medians of the rounds, with their spread."""
    lines = ["| | events/s (spread) | CPU us/event | of Postgres |", "|---|---|---|---|"]
    for found in zip(*rounds, strict=True):
        rates = [each.events_per_s for each in found]
        cpu = statistics.median(each.process_cpu_us for each in found)
        of_postgres = statistics.median(each.postgres_cpu_us for each in found)
        spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
        lines.append(
            f"| {found[0].name} | {statistics.median(rates):,.0f} ({spread}) | {cpu:.1f} | {of_postgres:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--events", type=int, default=50_000)
    asked.add_argument("--rounds", type=int, default=3)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="tokenworks-bench-") as name:
        os.environ["TOKENWORKS_HOME"] = name
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        with embedded.hold(Path(name)):
            import django

            django.setup()
            subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, check=True)
            print(table([measure(given.events) for _ in range(given.rounds)]))


if __name__ == "__main__":
    main()
