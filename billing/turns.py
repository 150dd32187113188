"""Closings and previews of one tenant take turns, and each reads one state of the database."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import InterfaceError, OperationalError, connection, transaction

from billing.errors import TooManyClosings
from tenants.models import Tenant

TURN_TIMEOUT_S = 60
LOCK_NOT_AVAILABLE = "55P03"

log = logging.getLogger(__name__)


@contextmanager
def turn_of(tenant: Tenant) -> Iterator[None]:
    """Hold the tenant's turn, waiting TURN_TIMEOUT_S for it at most. Raises `TooManyClosings`.

    A draft and its number are two transactions, so the lock belongs to the connection, and Postgres drops it with a
    process that dies. It only keeps closings from undoing each other's work: that a month has one invoice, and a token
    is covered once, Postgres enforces by constraints.
    """
    key = f"billing.closing.{tenant.pk}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{TURN_TIMEOUT_S}s"])
        try:
            cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [key])
        except OperationalError as failure:
            if getattr(failure.__cause__, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            raise TooManyClosings from failure
        finally:
            cursor.execute("RESET lock_timeout")
    try:
        yield
    finally:
        _end_turn(key)


def _end_turn(key: str) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [key])
    except (InterfaceError, OperationalError):
        log.warning("The connection was lost in a closing, and its turn with it.")


@contextmanager
def one_snapshot() -> Iterator[None]:
    """A transaction that sees one state of the database throughout, so that annex, lines and cut-off agree."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield
