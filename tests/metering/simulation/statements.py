"""What every statement of a task passes: the pause before it, kills, and connections that Postgres ends."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import OperationalError, connection, transaction
from django.db.backends.signals import connection_created

from tests.metering.simulation.disk import Calls
from tests.metering.simulation.stage import Killed

ENDED_WITHIN_S = 60
LOCK_TIMEOUT_MS = 15  # Whoever holds the lock is paused, so that waiting for it longer is in vain.


class Postgres:
    """The server, as an operator has it: connections are ended, and all of it is restarted.

    `restart` restarts it; without one, all connections that do statements are ended.
    """

    def __init__(self, restart: Callable[[], None] | None = None) -> None:
        given: dict[str, Any] = connection.get_connection_params()
        self._address = {
            name: given[name] for name in ("dbname", "user", "host", "port", "password") if given.get(name)
        }
        self._restart = restart
        self._control = psycopg.connect(**self._address, autocommit=True)

    def end(self, pid: int) -> None:
        """End that connection, and wait until it has ended. Postgres itself would look each 100 ms."""
        self._control.execute("SELECT pg_terminate_backend(%s)", [pid])
        deadline = time.monotonic() + ENDED_WITHIN_S
        while self._control.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone() is not None:
            assert time.monotonic() < deadline, f"the connection of {pid} does not end"
            time.sleep(0.001)

    def restart(self) -> None:
        connection.close()  # Ours would find out, too.
        if self._restart is None:
            self._control.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        else:
            self._control.close()
            self._restart()
            self._control = psycopg.connect(**self._address, autocommit=True)

    def close(self) -> None:
        self._control.close()


@contextmanager
def disturbed(postgres: Postgres) -> Iterator[None]:
    """Statements and commits of this thread's connection pass here."""
    really_commit = connection._commit  # type: ignore[attr-defined]  # Django's own, where every commit passes.

    def around(execute: Callable[..., Any], *statement: Any) -> Any:
        process = Calls.process()
        assert process is not None
        if process.dead:
            raise Killed
        process.pass_by("statement")
        _perhaps_kill("killed before a statement")
        if process.disk.strikes("connection ended before a statement"):
            postgres.end(_pid())
        result = execute(*statement)
        _perhaps_kill("killed after a statement")
        return result

    def commit() -> None:
        really_commit()
        process = Calls.process()
        assert process is not None
        _perhaps_kill("killed after a commit")
        if process.disk.strikes("commit done, its answer lost"):
            postgres.end(_pid())
            raise OperationalError("the connection was lost while it committed")

    connection._commit = commit  # type: ignore[attr-defined]
    try:
        with connection.execute_wrapper(around):
            yield
    finally:
        del connection._commit  # type: ignore[attr-defined]


def _perhaps_kill(fault: str) -> None:
    process = Calls.process()
    if process is not None and process.disk.strikes(fault):
        process.dead = True
        raise Killed


def _pid() -> int:
    return int(connection.connection.info.backend_pid)


@contextmanager
def limited_lock_wait() -> Iterator[None]:
    """Of this thread alone, which is none of a task: OperationalError where somebody who is paused has the lock."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
        yield


def limit_lock_waits(**given: Any) -> None:
    if Calls.process() is not None:
        given["connection"].connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
        given["connection"].connection.commit()


@contextmanager
def limited_lock_waits() -> Iterator[None]:
    connection_created.connect(limit_lock_waits)
    try:
        yield
    finally:
        connection_created.disconnect(limit_lock_waits)
