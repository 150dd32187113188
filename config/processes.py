"""The processes of one copy of Tokenworks on one machine: a plain table, and how to tell that one is ready.

`config/supervisor.py` keeps them running. Where an orchestrator does that (Compose, systemd, Kubernetes), it runs the
same commands.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from config import settings
from config.probe import answers

# Two tasks at a time. A single worker need not look for others before it begins.
WORKER_OPTIONS = ("--concurrency", "2", "--hostname", "worker@%h", "--without-mingle", "--without-gossip")
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - recognised here, not listened on


@dataclass(frozen=True)
class Process:
    """One long-running command. Its name names its log, its pid file and its line in the supervisor's output.

    `stop_grace_s` is how long it may take to end after SIGTERM before SIGKILL. `ready_url`, where it has one, answers
    with a status below 500 once the process can do its work.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_url: str | None = None
    stop_grace_s: int = 10

    def is_ready(self) -> bool:
        return self.ready_url is None or answers(self.ready_url)


def standard() -> list[Process]:
    """Everything that a copy needs, in the order of starting; it stops in reverse, so callers are turned away first."""
    home = settings.TOKENWORKS_HOME
    python = sys.executable
    celery = (python, "-m", "celery", "-A", "config.celery")
    beat = ("beat", "--enable-remote-control", "--schedule", str(home / "beat-schedule"))
    return [
        Process("worker", (*celery, "worker", *WORKER_OPTIONS, "--loglevel", "INFO")),
        Process("beat", (*celery, *beat, "--loglevel", "INFO")),
        Process("shipper", (python, str(settings.BASE_DIR / "manage.py"), "ship")),
        Process(
            "web",
            (python, "-m", "config.web"),
            ready_url=f"{address()}/health",
            stop_grace_s=settings.TOKENWORKS_GRACE_S + 5,
        ),
    ]


def address() -> str:
    """Where this copy is reached from this machine, without a slash at the end."""
    host = settings.TOKENWORKS_HOST
    shown = ANY_ADDRESS.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{settings.TOKENWORKS_PORT}"
