"""The office is killed while it takes usage: what it acknowledged is there once, and no call is there by half."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from metering import rollup
from metering.models import Batch, Event, IngestedKey
from tests.conftest import Person
from tests.metering.offices import Office
from tests.metering.reported import allow, flat, lines, used
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

EVENTS = 4  # Of a call.


@pytest.fixture
def office(home: Path, alice: Person) -> Iterator[Office]:
    allow(alice)
    made = Office(home, alice.secret)
    made.start()
    yield made
    made.kill()


def call(number: int) -> bytes:
    return lines([flat(f"{number}-{part}") for part in range(EVENTS)])


def stored(number: int) -> int:
    """How many rows the events of a call have."""
    return Event.objects.filter(external_id__startswith=f"req-{number}-").count()


@contextmanager
def locked(table: str) -> Iterator[None]:
    """Nobody writes to the table meanwhile; who reads it goes on."""
    given = connection.get_connection_params()
    with psycopg.connect(**{name: given[name] for name in ("dbname", "user", "host", "port") if given.get(name)}) as db:
        db.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        yield
        db.rollback()


def waiting_for(table: str) -> list[int]:
    """The processes of Postgres that wait for the table."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database"
            " WHERE NOT granted AND relation = %s::regclass AND datname = current_database()",
            [table],
        )
        return [pid for (pid,) in cursor.fetchall()]


def is_gone(pid: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid])
        return cursor.fetchone() is None


def assert_all_is_there_once(calls: dict[int, bytes], office: Office) -> None:
    """Also after everything was sent once more."""
    for body in calls.values():
        assert office.report(body) == {"accepted": 0, "duplicates": EVENTS, "skipped": 0}
    assert [stored(number) for number in calls] == [EVENTS] * len(calls)
    rollup.fold_everything()
    events = EVENTS * len(calls)
    assert used() == {"input_uncached": 70 * events, "output": 30 * events, "request": events}
    assert IngestedKey.objects.count() == Event.objects.count() == events


def test_an_office_that_is_killed_within_a_call_leaves_nothing_of_it(office: Office) -> None:
    calls = {0: call(0)}
    office.report(calls[0])  # So that the month's partition is there.
    for number, table in enumerate(("metering_ingestedkey", "metering_batch", "metering_event"), start=1):
        calls[number] = call(number)
        with locked(table):
            answer = office.send(calls[number])
            until(lambda table=table: bool(waiting_for(table)), f"the call waits for {table}")  # type: ignore[misc]
            (pid,) = waiting_for(table)
            office.kill()
        with pytest.raises((OSError, HTTPException)):
            answer.getresponse()
        answer.close()
        until(lambda pid=pid: is_gone(pid), "Postgres has seen that the office is gone")  # type: ignore[misc]
        assert (stored(number), Batch.objects.count(), IngestedKey.objects.count()) == (0, number, EVENTS * number)
        office.start()
        assert office.report(calls[number]) == {"accepted": EVENTS, "duplicates": 0, "skipped": 0}
    assert_all_is_there_once(calls, office)


def test_a_call_whose_answer_was_lost_is_sent_again_and_counts_once(office: Office) -> None:
    calls = {0: call(0)}
    unread = office.send(calls[0])
    until(Batch.objects.exists, "the call was committed")
    office.kill()
    unread.close()
    office.start()
    assert_all_is_there_once(calls, office)
