"""Keeps the snapshot fresh: loads it from Postgres, hears of changes, saves it to disk, and starts from there.

One thread of its own does all this, so that reading a hundred thousand keys holds up no request. What it learns it
puts in `current` in one assignment. Where Postgres is away, the last snapshot stays in force, however old.
"""

import logging
import os
import select
import threading
import time
from pathlib import Path
from typing import Any, Protocol

import psycopg

from billing.snapshot import PLANS_SQL, PRICED_OFFERINGS_SQL, PRICES_SQL, WALLETS_SQL, PlanRow, PriceRow
from gateway.admission.terms import TermRows
from gateway.snapshot import Rows, Snapshot, SnapshotUnreadable, build, pack, unpack
from inference.snapshot import WORKERS_SQL, Worker
from providers.snapshot import DEPLOYMENTS_SQL, OFFERINGS_SQL, Deployment, Offering
from tenants.snapshot import (
    BUDGETS_SQL,
    LIMITED_TENANTS_SQL,
    LIMITS_SQL,
    PRINCIPALS_SQL,
    BudgetRow,
    LimitedTenant,
    LimitRow,
    Principal,
)

CHANNEL = "tokenworks_snapshot"
DEBOUNCE_S = 0.05  # Changes come in bursts: one loading serves all that came this soon after the first.
RETRY_S = 1.0
FIRST_LOAD_WAIT_S = 5.0

log = logging.getLogger(__name__)


class Snapshots(Protocol):
    """Where the gateway finds its snapshot. `current` is None until there is a first one."""

    current: Snapshot | None

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def age_us(self) -> int | None: ...


class DatabaseSnapshots:
    """The snapshot of one gateway process, from Postgres and from the file that it keeps for its next start."""

    def __init__(self, database_url: str, saved: Path, check_s: float) -> None:
        self.current: Snapshot | None = None
        self._database_url = database_url
        self._saved = saved
        self._check_s = check_s
        self._packed = b""  # The rows of `current`, to see whether anything changed.
        self._news = False  # Postgres announced a change since this was last unset.
        self._in_trouble = False
        self._compared_at_ns: int | None = None  # By the monotonic clock.
        self._loaded = threading.Event()
        self._told_to_stop, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._run, name="snapshot", daemon=True)

    def start(self) -> None:
        """Take what is on disk, and go on to keep it fresh. Where nothing is on disk, give Postgres a little time."""
        self._read_saved()
        self._thread.start()
        if self.current is None:
            self._loaded.wait(FIRST_LOAD_WAIT_S)

    def stop(self) -> None:
        os.write(self._stop, b".")
        self._thread.join()
        os.close(self._stop)
        os.close(self._told_to_stop)

    def age_us(self) -> int | None:
        """Since it was last compared with Postgres; None where this process has not yet."""
        return None if self._compared_at_ns is None else (time.monotonic_ns() - self._compared_at_ns) // 1000

    def _run(self) -> None:
        while True:
            try:
                with self._connect() as connection:
                    self._follow(connection)
                return
            except Exception as problem:  # Whatever it is: if this thread ended, no key could be revoked any more.
                self._trouble(problem)
            if self._stopped_within(RETRY_S):
                return

    def _connect(self) -> psycopg.Connection[Any]:
        """Nothing is sent on a connection that listens, so TCP itself must notice a database that has vanished."""
        connection = psycopg.connect(
            self._database_url,
            autocommit=True,
            connect_timeout=5,
            options="-c statement_timeout=10s",
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
        )
        connection.isolation_level = (
            psycopg.IsolationLevel.REPEATABLE_READ
        )  # All queries of one loading see one moment.
        return connection

    def _follow(self, connection: psycopg.Connection[Any]) -> None:
        """Load, and load again when something changed or it is time to check; return when told to stop."""
        connection.add_notify_handler(self._hear)
        connection.execute(f"LISTEN {CHANNEL}")  # Before the first loading, so that no change falls in between.
        while True:
            self._news = False
            self._load(connection)
            if not self._news and self._stopped_within(self._check_s, connection):
                return
            if self._stopped_within(DEBOUNCE_S):
                return
            connection.execute("SELECT 1")  # Takes in all news that came until now: the next loading covers them.

    def _hear(self, _: psycopg.Notify) -> None:
        self._news = True

    def _stopped_within(self, seconds: float, connection: psycopg.Connection[Any] | None = None) -> bool:
        """Wait for the time, or for a connection to have something to say; True when told to stop."""
        heard = [self._told_to_stop] if connection is None else [self._told_to_stop, connection.fileno()]
        ready, _, _ = select.select(heard, [], [], seconds)
        return self._told_to_stop in ready

    def _load(self, connection: psycopg.Connection[Any]) -> None:
        read_at_ns = time.monotonic_ns()
        with connection.transaction():
            rows = read(connection)
        packed = pack(rows)
        if packed != self._packed:
            self.current = build(rows)
            self._packed = packed
            self._save(packed)
        self._compared_at_ns = read_at_ns
        self._loaded.set()
        if self._in_trouble:
            log.warning("The snapshot is fresh again.")
            self._in_trouble = False

    def _trouble(self, problem: Exception) -> None:
        """Say it once: this is tried again every second."""
        if not self._in_trouble:
            log.warning("The snapshot cannot be loaded; the last one stays in force: %s", problem)
            self._in_trouble = True

    def _read_saved(self) -> None:
        try:
            packed = self._saved.read_bytes()
            self.current = build(unpack(packed))
            self._packed = packed
        except FileNotFoundError:
            pass
        except (OSError, SnapshotUnreadable) as problem:
            log.warning("The saved snapshot %s is not used: %s", self._saved, problem)

    def _save(self, packed: bytes) -> None:
        """Replace the file as a whole, readable by this user only: it says who our tenants are."""
        fresh = self._saved.with_suffix(f".{os.getpid()}")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o600)
                file.write(packed)
                file.flush()
                os.fsync(descriptor)
            fresh.replace(self._saved)
        except OSError as problem:
            log.warning("The snapshot cannot be saved to %s: %s", self._saved, problem)


def read(connection: psycopg.Connection[Any]) -> Rows:
    """All rows that a snapshot is built from."""
    return Rows(
        principals=[(row[0], Principal(*row[1:])) for row in connection.execute(PRINCIPALS_SQL)],
        offerings=[Offering(*row) for row in connection.execute(OFFERINGS_SQL)],
        deployments=[Deployment(*row) for row in connection.execute(DEPLOYMENTS_SQL)],
        workers=[Worker(*row) for row in connection.execute(WORKERS_SQL)],
        priced=sorted(connection.execute(PRICED_OFFERINGS_SQL)),
        terms=read_terms(connection),
    )


def read_terms(connection: psycopg.Connection[Any]) -> TermRows:
    """All rows that limit anybody. Prices are read only where somebody's money is budgeted."""
    plans = [PlanRow(*row) for row in connection.execute(PLANS_SQL)]
    return TermRows(
        tenants=[LimitedTenant(*row) for row in connection.execute(LIMITED_TENANTS_SQL)],
        limits=[LimitRow(*row) for row in connection.execute(LIMITS_SQL)],
        budgets=[BudgetRow(*row) for sql in (BUDGETS_SQL, WALLETS_SQL) for row in connection.execute(sql)],
        plans=plans,
        prices=[PriceRow(*row) for row in connection.execute(PRICES_SQL)] if plans else [],
    )
