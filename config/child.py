"""One process under the supervisor: its start, its output, its end, and when to start it again."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from logging import makeLogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

from config import settings
from config.processes import Process

LOG_BYTES_MAX = 8 * 2**20  # Two files a process: the one being written and the one before.
LINE_BYTES_MAX = 64 * 2**10
RESTART_FIRST_S = 0.25
RESTART_MAX_S = 15
STEADY_S = 30


def restart_wait_s(deaths: int) -> float:
    """How long to wait after so many deaths in a row (1 or more): doubling, and never above RESTART_MAX_S."""
    doublings = min(deaths - 1, 10)
    return min(RESTART_FIRST_S * (1 << doublings), RESTART_MAX_S)


class Child:
    """A process that is started again when it dies. Only the supervisor's thread may call `look` and `stop`."""

    def __init__(self, process: Process, home: Path, say: Callable[[str], None]) -> None:
        self.process = process
        self.log_path = home / "log" / f"{process.name}.log"
        self._home = home
        self._pid_path = home / "run" / f"{process.name}.pid"
        self._say = say
        self._running: subprocess.Popen[bytes] | None = None
        self._output: threading.Thread | None = None
        self._deaths = 0
        self._started_at = self._due_at = time.monotonic()

    def look(self) -> None:
        """Start it if it is due; if it has died, say so and settle when it is due again."""
        now = time.monotonic()
        if self._running is None:
            if now >= self._due_at:
                self._try_to_start(now)
        elif self._running.poll() is not None:
            how = manner_of_death(self._running.returncode)
            pid = self._running.pid
            self._clear_away()
            self._note_death(f"(pid {pid}) {how}", now)

    def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL for it and its own children when the grace is over."""
        if self._running is None:
            return
        self._running.terminate()
        try:
            self._running.wait(self.process.stop_grace_s)
        except subprocess.TimeoutExpired:
            self._say(f"{self.process.name} did not end within {self.process.stop_grace_s} s; killed it.")
        self._clear_away()

    def _try_to_start(self, now: float) -> None:
        self._started_at = now
        try:
            self._start()
        except OSError as problem:  # The machine has no process, memory or file left for it just now.
            self._note_death(f"did not start ({problem})", now)

    def _note_death(self, what: str, now: float) -> None:
        self._deaths = 1 if now - self._started_at > STEADY_S else self._deaths + 1
        wait_s = restart_wait_s(self._deaths)
        self._due_at = now + wait_s
        self._say(f"{self.process.name} {what}; starting it again in {wait_s:g} s.")

    def _start(self) -> None:
        self._running = subprocess.Popen(
            [*end_with_parent(), *self.process.command],
            cwd=settings.BASE_DIR,
            env={**os.environ, **self._environment()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # A terminal's Ctrl-C reaches the supervisor alone, which stops things in order.
        )
        self._output = threading.Thread(target=keep_output, args=[self._running.stdout, self.log_path], daemon=True)
        self._output.start()
        fresh = self._pid_path.with_suffix(".fresh")
        fresh.write_text(f"{self._running.pid}\n")
        fresh.rename(self._pid_path)  # A reader sees the old pid or the new one, never half of one.

    def _environment(self) -> dict[str, str]:
        home = str(self._home)  # Absolute: the child works in another folder than ours.
        ours = {"TOKENWORKS_HOME": home, "DJANGO_SETTINGS_MODULE": "config.settings", "PYTHONUNBUFFERED": "1"}
        return {**ours, **self.process.environment}

    def _clear_away(self) -> None:
        """Kill what is left of its session, such as the pool of a killed Celery worker, and forget its pid."""
        assert self._running is not None
        with suppress(ProcessLookupError):
            os.killpg(self._running.pid, signal.SIGKILL)
        self._running.wait()
        if self._output is not None:
            self._output.join(timeout=5)
        self._running = None
        self._pid_path.unlink(missing_ok=True)


def manner_of_death(returncode: int) -> str:
    """`subprocess` gives the number of a deadly signal as a negative return code."""
    if returncode < 0:
        return f"was killed by {signal.Signals(-returncode).name}"
    return f"ended with {returncode}"


def end_with_parent() -> list[str]:
    """What stands before a command so that the kernel sends it SIGTERM when its parent dies; nothing outside Linux."""
    return ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []


def keep_output(pipe: IO[bytes], path: Path) -> None:
    """Copy a process' output to its log until the last one that holds the pipe has ended, in at most two files."""
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES_MAX, backupCount=1, encoding="utf-8")
    handler.terminator = ""
    with pipe:
        for line in iter(lambda: pipe.readline(LINE_BYTES_MAX), b""):
            handler.emit(makeLogRecord({"msg": line.decode(errors="replace")}))
    handler.close()
