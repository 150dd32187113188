"""Keeps the processes of one machine running: starts them, starts again what dies, and stops them in reverse order.

A process that dies is started again after a wait that doubles from RESTART_FIRST_S to RESTART_MAX_S; one that has run
for STEADY_S starts from the shortest wait again. Embedded Postgres and Valkey are looked at twice a second and started
again where they were killed.

No process outlives its supervisor: on Linux the kernel sends each one SIGTERM when the supervisor is gone, however it
went (`setpriv --pdeathsig`). Elsewhere processes end with the supervisor only when it is stopped, not when it is killed
with SIGKILL; their pids are then in TOKENWORKS_HOME/run. See docs/decisions/0004-process-supervisor.md.
"""

import fcntl
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from config import embedded
from config.child import Child
from config.processes import Process

LOOK_EVERY_S = 0.1
LOOK_AT_SERVERS_EVERY_S = 0.5
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class AlreadyRunning(Exception):
    """Another supervisor runs from this TOKENWORKS_HOME. Stop it first, or set TOKENWORKS_HOME and TOKENWORKS_PORT."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class NotReady(Exception):
    """A process did not become ready in time."""

    def __init__(self, name: str, timeout_s: int, log: Path) -> None:
        super().__init__(f"{name} was not ready after {timeout_s} s. {log} says why.")


class Supervisor:
    """Runs `processes` in a thread of its own for as long as the block of `running()` lasts.

    All are started by that one thread, because the kernel ties "the parent is gone" to the thread that started a child.
    `say` gets one line for each restart; it is called from other threads.
    """

    def __init__(
        self,
        home: Path,
        processes: Sequence[Process],
        *,
        servers: Sequence[embedded.Postgres | embedded.Valkey] = (),
        say: Callable[[str], None],
    ) -> None:
        self._home = home
        self._servers = servers
        self._say = say
        self._stopping = threading.Event()
        self._children = [Child(process, home, say) for process in processes]

    @contextmanager
    def running(self) -> Iterator["Supervisor"]:
        """Start everything; when the block ends, stop everything.

        Raises:
            AlreadyRunning: Another supervisor uses the same home.

        """
        for folder in ("run", "log"):
            embedded.private_folder(self._home / folder)
        with only_one(self._home / "run" / "supervisor.lock"):
            threads = [
                threading.Thread(target=self._guard, args=[deed]) for deed in (self._look_at_servers, self._look)
            ]
            for thread in threads:
                thread.start()
            try:
                yield self
            finally:
                self._stopping.set()
                for thread in threads:
                    thread.join()

    def wait_ready(self, timeout_s: int) -> None:
        """Return when every process with a ready check has passed it once.

        Raises:
            NotReady: One has not, within `timeout_s`.

        """
        deadline = time.monotonic() + timeout_s
        for child in self._children:
            while not child.process.is_ready():
                if time.monotonic() > deadline or self._stopping.is_set():
                    raise NotReady(child.process.name, timeout_s, child.log_path)
                time.sleep(LOOK_EVERY_S)

    def _guard(self, deed: Callable[[], None]) -> None:
        """Run a thread's work. Should it fail, stop the whole copy: unwatched processes are worse than none."""
        try:
            deed()
        except Exception:
            self._say(f"The supervisor failed and stops everything.\n{traceback.format_exc()}")
            os.kill(os.getpid(), signal.SIGTERM)

    def _look(self) -> None:
        try:
            while True:
                for child in self._children:
                    child.look()
                if self._stopping.wait(LOOK_EVERY_S):
                    break
        finally:
            for child in reversed(self._children):
                child.stop()

    def _look_at_servers(self) -> None:
        """Start embedded servers that were killed. A failed start is said once a try and tried again."""
        while self._servers and not self._stopping.wait(LOOK_AT_SERVERS_EVERY_S):
            try:
                for name in embedded.ensure_running(self._home, self._servers):
                    self._say(f"{name} was not running; started it again.")
            except embedded.EmbeddedServerFailed as problem:
                self._say(str(problem))


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold a lock file that one process can hold; the kernel lets go of it when that process dies."""
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning from None
        yield


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP end the block with KeyboardInterrupt. Later ones are ignored: it is cleaning up."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, lambda *_: None)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
