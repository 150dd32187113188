"""The supervisor with real processes: small Python programs that write, die, hang or listen as told."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from config import child, embedded
from config.processes import Process
from config.supervisor import AlreadyRunning, NotReady, Supervisor, interrupted_by_signals
from tests.waiting import is_gone, until

WAITS = "import time; time.sleep(600)"
IGNORES_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {WAITS}"
HAS_A_CHILD = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WAITS!r}]); {WAITS}"
ANSWERS = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response({status})
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", {port}), Handler)
server.serve_forever()
"""


def program(name: str, source: str, **fields: object) -> Process:
    return Process(name, (sys.executable, "-c", source), **fields)  # type: ignore[arg-type] # any field of Process


@contextmanager
def supervised(home: Path, *processes: Process) -> Iterator[tuple[Supervisor, list[str]]]:
    said: list[str] = []
    with Supervisor(home, processes, say=said.append).running() as supervisor:
        yield supervisor, said


def pid_of(home: Path, name: str) -> int:
    """The pid of a process, once it has one."""
    path = home / "run" / f"{name}.pid"
    until(path.exists, f"{name} has a pid file")
    return int(path.read_text())


def log_of(home: Path, name: str) -> str:
    path = home / "log" / f"{name}.log"
    return path.read_text() if path.exists() else ""


def test_a_process_that_is_killed_is_started_again_and_said_in_one_line(home: Path) -> None:
    with supervised(home, program("clerk", WAITS)) as (_, said):
        first = pid_of(home, "clerk")
        os.kill(first, signal.SIGKILL)
        until(lambda: said and pid_of(home, "clerk") != first, "the clerk has a new pid")
        assert said == [f"clerk (pid {first}) was killed by SIGKILL; starting it again in 0.25 s."]
        assert not is_gone(pid_of(home, "clerk"))


def test_a_process_that_keeps_failing_is_tried_again_after_longer_and_longer_waits(home: Path) -> None:
    with supervised(home, program("clerk", "raise SystemExit(3)")) as (_, said):
        until(lambda: len(said) >= 3, "it has failed three times")
    assert [line.split("; ")[1] for line in said[:3]] == [
        "starting it again in 0.25 s.",
        "starting it again in 0.5 s.",
        "starting it again in 1 s.",
    ]
    assert "ended with 3" in said[0]


def test_the_wait_before_a_restart_never_exceeds_its_cap() -> None:
    assert child.restart_wait_s(7) == child.RESTART_MAX_S
    assert child.restart_wait_s(10_000) == child.RESTART_MAX_S


def test_stopping_ends_every_process_and_removes_its_pid_file(home: Path) -> None:
    with supervised(home, program("clerk", WAITS), program("porter", WAITS)):
        pids = [pid_of(home, "clerk"), pid_of(home, "porter")]
    assert all(is_gone(pid) for pid in pids)
    assert not list((home / "run").glob("*.pid"))


def test_processes_stop_in_the_reverse_order_of_their_start(home: Path) -> None:
    order = home / "order"
    notes_its_end = """
import signal, sys, time
def end(*_):
    with open({order!r}, "a") as order:
        order.write({name!r} + " ")
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(600)
"""
    names = ["first", "second", "third"]
    processes = [program(name, notes_its_end.format(order=str(order), name=name)) for name in names]
    with supervised(home, *processes):
        for name in names:
            until(lambda name=name: "ready" in log_of(home, name), f"{name} is ready")  # type: ignore[misc] # a default
    assert order.read_text().split() == ["third", "second", "first"]


def test_a_process_that_ignores_sigterm_is_killed_when_its_grace_is_over(home: Path) -> None:
    with supervised(home, program("mule", IGNORES_SIGTERM, stop_grace_s=1)) as (_, said):
        until(lambda: "deaf" in log_of(home, "mule"), "it ignores SIGTERM")
        pid = pid_of(home, "mule")
    assert is_gone(pid)
    assert said == ["mule did not end within 1 s; killed it."]


def test_what_a_killed_process_had_started_itself_is_killed_too(home: Path) -> None:
    with supervised(home, program("parent", HAS_A_CHILD)):
        parent = pid_of(home, "parent")
        until(lambda: psutil.Process(parent).children(), "it has a child")
        orphan = psutil.Process(parent).children()[0].pid
        os.kill(parent, signal.SIGKILL)
        until(lambda: is_gone(orphan), "the orphan is gone")


def test_output_goes_to_a_log_of_bounded_length(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "LOG_BYTES_MAX", 1000)
    chatters = f"for number in range(1000): print('line', number)\nprint('done', flush=True)\n{WAITS}"
    with supervised(home, program("parrot", chatters)):
        until(lambda: "done" in log_of(home, "parrot"), "it has said everything")
    logs = list((home / "log").glob("parrot*"))
    assert {log.name for log in logs} == {"parrot.log", "parrot.log.1"}
    assert all(log.stat().st_size <= 1000 for log in logs)
    assert "line 999\ndone\n" in log_of(home, "parrot")


def test_a_process_knows_its_home_wherever_it_works(home: Path) -> None:
    tells = f"import os; print(os.environ['TOKENWORKS_HOME'], os.environ['COLOUR'], flush=True); {WAITS}"
    with supervised(home, program("clerk", tells, environment={"COLOUR": "green"})):
        until(lambda: log_of(home, "clerk") == f"{home} green\n", "it has said where it lives")


def test_waiting_ends_when_the_ready_check_is_answered(home: Path, free_port: int) -> None:
    source = ANSWERS.format(port=free_port, status=204)
    with supervised(home, program("web", source, ready_url=f"http://127.0.0.1:{free_port}/health")) as (supervisor, _):
        supervisor.wait_ready(30)


def test_a_process_that_answers_503_is_named_as_not_ready_with_its_log(home: Path, free_port: int) -> None:
    source = ANSWERS.format(port=free_port, status=503)
    web = program("web", source, ready_url=f"http://127.0.0.1:{free_port}/health")
    with supervised(home, web) as (supervisor, _), pytest.raises(NotReady, match=r"web was not ready.*log/web\.log"):
        supervisor.wait_ready(2)


def test_a_home_has_one_supervisor(home: Path) -> None:
    with supervised(home), pytest.raises(AlreadyRunning, match="TOKENWORKS_HOME"), supervised(home):
        pass


SUPERVISES = """
import signal, sys
from pathlib import Path
from config.processes import Process
from config.supervisor import Supervisor
home, source = Path(sys.argv[1]), sys.argv[2]
with Supervisor(home, [Process("clerk", (sys.executable, "-c", source))], say=print).running():
    signal.pause()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")
def test_no_process_outlives_a_supervisor_that_was_killed(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SUPERVISES, str(home), WAITS]) as supervisor:
        pid = pid_of(home, "clerk")
        supervisor.kill()
    until(lambda: is_gone(pid), "the clerk has ended")


def test_killed_embedded_servers_are_started_again(home: Path) -> None:
    said: list[str] = []
    with embedded.hold(home, durable=False):
        servers = embedded.servers_of(home, (True, True), durable=False)
        postmaster = int((home / "postgres" / "postmaster.pid").read_text().split()[0])
        with Supervisor(home, [], servers=servers, say=said.append).running():
            os.kill(postmaster, signal.SIGKILL)
            until(lambda: said == ["Postgres was not running; started it again."], "Postgres is started again")
            assert embedded.Postgres(home).is_running()


def test_a_signal_interrupts_once_and_cleaning_up_is_left_in_peace() -> None:
    cleaned_up = []

    @interrupted_by_signals()
    def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGINT)
            cleaned_up.append("everything")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert cleaned_up == ["everything"]
