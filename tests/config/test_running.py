"""`tokenworks run` for real: whole copies, each with a home and a port of its own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from django.contrib.auth.models import User

from config import embedded, processes, running, settings
from config.ports import free_ports
from config.probe import answers
from config.running import CannotListen, PortInUse
from tests.waiting import is_gone, until

NAMES = ("worker", "beat", "shipper", "web")
START_TIMEOUT_S = 120


@dataclass(frozen=True)
class Copy:
    home: Path
    port: int
    output: Path
    process: "subprocess.Popen[bytes]"

    def pid_of(self, name: str) -> int:
        path = self.home / "run" / f"{name}.pid"
        until(path.exists, f"{name} has a pid file")
        return int(path.read_text())

    def answers(self) -> bool:
        return answers(f"http://127.0.0.1:{self.port}/health")

    def said(self) -> list[str]:
        return self.output.read_text().splitlines()

    def wait_until_up(self) -> None:
        def is_up() -> bool:
            assert self.process.poll() is None, f"it ended before it was ready: {self.said()}"
            return any(line.startswith("Ctrl-C") for line in self.said())

        until(is_up, "it is up", START_TIMEOUT_S)


@contextmanager
def copy_of_tokenworks(home: Path, port: int) -> Iterator[Copy]:
    home.mkdir()
    given = {"PATH": os.environ["PATH"], "TOKENWORKS_HOME": str(home), "TOKENWORKS_PORT": str(port)}
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "run"]
    output = home.with_suffix(".out")
    with (
        output.open("w") as file,
        subprocess.Popen(command, env=given, stdout=file, stderr=subprocess.STDOUT) as process,
    ):
        try:
            yield Copy(home, port, output, process)
        finally:
            process.terminate()
    with embedded.hold(home):  # Stops the servers of a copy that was killed.
        pass


@pytest.fixture
def two_copies(tmp_path: Path) -> Iterator[tuple[Copy, Copy]]:
    ports = free_ports(2)
    with (
        copy_of_tokenworks(tmp_path / "left", ports[0]) as left,
        copy_of_tokenworks(tmp_path / "right", ports[1]) as right,
    ):
        yield left, right


def test_two_copies_run_side_by_side_and_neither_feels_the_others_end(two_copies: tuple[Copy, Copy]) -> None:
    left, right = two_copies
    left.wait_until_up()
    right.wait_until_up()
    assert f"Gateway  http://127.0.0.1:{left.port}/v1" in left.said()
    assert any("createsuperuser" in line for line in left.said())
    assert left.answers()
    assert right.answers()
    of_left, of_right = ([copy.pid_of(name) for name in NAMES] for copy in (left, right))

    os.kill(left.pid_of("web"), signal.SIGKILL)
    until(lambda: left.pid_of("web") not in of_left and left.answers(), "the left copy answers again")
    of_left.append(left.pid_of("web"))

    left.process.send_signal(signal.SIGINT)
    assert left.process.wait(START_TIMEOUT_S) == 0
    assert left.said()[-1] == "Stopped."
    assert any("was killed by SIGKILL; starting it again" in line for line in left.said())
    assert all(map(is_gone, of_left))
    assert not embedded.Postgres(left.home).is_running()
    assert not embedded.Valkey(left.home).is_running()

    assert right.answers()
    assert [right.pid_of(name) for name in NAMES] == of_right
    if sys.platform == "linux":
        pool = [child.pid for child in psutil.Process(right.pid_of("worker")).children(recursive=True)]
        right.process.kill()
        until(lambda: all(map(is_gone, [*of_right, *pool])), "the processes of the killed copy have ended")


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with copy_of_tokenworks(tmp_path / "home", port) as copy:
            assert copy.process.wait(START_TIMEOUT_S) == 1
            assert not (copy.home / "postgres").exists()
    remedy = "Stop what listens there, or set TOKENWORKS_PORT."
    assert copy.said() == [f"CommandError: Port {port} of 127.0.0.1 is in use. {remedy}"]


def test_a_free_port_is_not_refused_and_stays_free(free_port: int) -> None:
    running.refuse_taken_port("127.0.0.1", free_port)
    running.refuse_taken_port("127.0.0.1", free_port)


def test_a_taken_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(PortInUse, match="set TOKENWORKS_PORT"):
        running.refuse_taken_port("127.0.0.1", listener.getsockname()[1])


def test_an_address_of_another_machine_is_refused(free_port: int) -> None:
    with pytest.raises(CannotListen, match=r"Cannot listen on 192\.0\.2\.1:\d+: .+\. Set TOKENWORKS_HOST"):
        running.refuse_taken_port("192.0.2.1", free_port)


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("db.lan", "db.lan")],
)
def test_the_address_shown_can_be_opened_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, host: str, shown: str
) -> None:
    monkeypatch.setattr(settings, "TOKENWORKS_HOST", host)
    monkeypatch.setattr(settings, "TOKENWORKS_PORT", 8000)
    assert processes.address() == f"http://{shown}:8000"


@pytest.mark.django_db
def test_where_there_is_no_operator_the_greeting_says_how_to_make_one() -> None:
    User.objects.create_user("alice", "alice@acme.example", "correct horse battery")
    assert any(line.endswith(" createsuperuser") for line in running.greeting())


def test_where_there_is_an_operator_the_greeting_does_not_speak_of_it(olga: User) -> None:
    assert not any("operator" in line for line in running.greeting())


@pytest.mark.django_db
@pytest.mark.parametrize(("planes", "begins"), [("gateway", ["Gateway"]), ("office", ["Office"])])
def test_the_greeting_names_only_what_is_served(
    monkeypatch: pytest.MonkeyPatch, planes: str, begins: list[str]
) -> None:
    monkeypatch.setattr(settings, "TOKENWORKS_PLANES", planes)
    assert [word for line in running.greeting() if (word := line.split()[0]) in ("Gateway", "Office")] == begins
