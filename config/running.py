"""Brings one copy of Tokenworks up on this machine and takes it down: servers, tables and processes, in this order."""

import errno
import shlex
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connections

from config import embedded, processes, settings
from config.processes import Process
from config.supervisor import Supervisor, interrupted_by_signals

READY_TIMEOUT_S = 90


class PortInUse(Exception):
    """Somebody else listens on our port."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"Port {port} of {host} is in use. Stop what listens there, or set TOKENWORKS_PORT.")


class CannotListen(Exception):
    """This machine does not let us listen on our address."""

    def __init__(self, host: str, port: int, problem: OSError) -> None:
        reason = problem.strerror or problem
        super().__init__(f"Cannot listen on {host}:{port}: {reason}. Set TOKENWORKS_HOST and TOKENWORKS_PORT.")


def until_stopped(say: Callable[[str], None]) -> None:
    """Run this copy until Ctrl-C or SIGTERM."""
    try:
        with interrupted_by_signals(), running(say):
            for line in greeting():
                say(line)
            while True:
                signal.pause()
    except KeyboardInterrupt:
        say("Stopped.")


@contextmanager
def running(say: Callable[[str], None], *, besides: Sequence[Process] = ()) -> Iterator[Supervisor]:
    """A copy that is up and ready. `besides` are started before the standard processes and stopped after them.

    Raises:
        PortInUse, CannotListen: Nothing was started.
        embedded.EmbeddedServerFailed, supervisor.AlreadyRunning, supervisor.NotReady: What was started was stopped.

    """
    refuse_taken_port(settings.TOKENWORKS_HOST, settings.TOKENWORKS_PORT)
    home = settings.TOKENWORKS_HOME
    wanted = embedded.left_to_us(home, settings.DATABASE_URL, settings.REDIS_URL)
    with embedded.hold(home, wanted=wanted):
        call_command("migrate", interactive=False, verbosity=0)
        connections.close_all()
        servers = embedded.servers_of(home, wanted)
        supervisor = Supervisor(home, [*besides, *processes.standard()], servers=servers, say=say)
        with supervisor.running():
            supervisor.wait_ready(READY_TIMEOUT_S)
            yield supervisor


def refuse_taken_port(host: str, port: int) -> None:
    """Listen for a moment, to find out before anything starts."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise PortInUse(host, port) from None
        raise CannotListen(host, port, problem) from None


def greeting() -> list[str]:
    """Where everything is, and how to make an operator where there is none."""
    address = processes.address()
    lines = {"both": ["office", "gateway"]}.get(settings.TOKENWORKS_PLANES, [settings.TOKENWORKS_PLANES])
    places = {"office": f"Office   {address}/admin/", "gateway": f"Gateway  {address}/v1"}
    said = [places[plane] for plane in lines]
    said.append(f"Logs     {settings.TOKENWORKS_HOME / 'log'}")
    if not get_user_model().objects.filter(is_staff=True, is_active=True).exists():
        here = f"TOKENWORKS_HOME={shlex.quote(str(settings.TOKENWORKS_HOME))} {sys.argv[0]}"
        said.append(f"There is no operator yet. To make one: {here} createsuperuser")
    connections.close_all()
    return [*said, "Ctrl-C stops everything."]
