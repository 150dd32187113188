"""The shipper as real processes on the real database: several at once, and killed at random."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from threading import Event as Flag
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection

from metering import ship_loop
from metering.models import Batch, Event
from metering.reader import JournalReader
from metering.shipping import ship_next
from tests.metering.conftest import Factory
from tests.metering.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

DEADLINE_S = 60


def start(
    factory: Factory, *arguments: str, batch: int = 50, redis_url: str = settings.REDIS_URL
) -> "subprocess.Popen[str]":
    database = connection.settings_dict
    environment = {
        **os.environ,
        "TOKENWORKS_HOME": str(factory.journals.parent),
        "DATABASE_URL": f"postgresql://{database['USER']}@/{database['NAME']}?host={quote(database['HOST'])}",
        "REDIS_URL": redis_url,
        "TOKENWORKS_SECRET_KEY": "of-a-test" * 6,
        "TOKENWORKS_SHIP_BATCH_RECORDS_MAX": str(batch),
        "TOKENWORKS_SHIP_INTERVAL_MS": "10",
    }
    command = [sys.executable, "manage.py", "ship", *arguments]
    return subprocess.Popen(
        command, cwd=settings.BASE_DIR, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_until(met: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Wait while the process runs; one that ended by itself fails the test with what it said."""
    deadline = time.monotonic() + DEADLINE_S
    while not met():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def assert_each_event_was_shipped_once(count: int) -> None:
    assert Event.objects.count() == count
    stretches = list(Batch.objects.order_by("first").values_list("first", "last", "events", "duplicates"))
    assert stretches[0][0] == 1
    for (_, last, _, _), (first, _, _, _) in pairwise(stretches):
        assert last is not None
        assert first == last + 1
    assert sum(events for _, _, events, _ in stretches) == count
    assert not any(duplicates for *_, duplicates in stretches)


def test_two_shippers_at_once_ship_each_event_once(factory: Factory) -> None:
    factory.serve(2000)
    both = [start(factory, "--once"), start(factory, "--once")]
    told = [process.communicate(timeout=DEADLINE_S)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert all("events." in text for text in told)
    assert_each_event_was_shipped_once(2000)


def test_threads_that_ship_the_same_journal_leave_no_gap_and_no_double(factory: Factory) -> None:
    factory.serve(200)

    def ship() -> None:
        reader = JournalReader(factory.journals / "gateway-1")
        while ship_next(reader, 10) is not None:
            pass

    at_once(ship, ship, ship, ship)
    assert_each_event_was_shipped_once(200)


def test_a_shipper_killed_again_and_again_ships_each_event_once(factory: Factory) -> None:
    factory.serve(3000)
    for _ in range(4):
        shipped = Event.objects.count()
        process = start(factory, batch=20)
        wait_until(lambda shipped=shipped: Event.objects.count() > min(shipped, 2999), process)  # type: ignore[misc]  # A bound default.
        time.sleep(random.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=DEADLINE_S)
    last = start(factory, "--once")
    assert last.communicate(timeout=DEADLINE_S)
    assert last.returncode == 0
    assert_each_event_was_shipped_once(3000)


def test_a_shipper_that_is_told_to_stop_ends_well(factory: Factory) -> None:
    process = start(factory)
    factory.serve(5)
    wait_until(lambda: Event.objects.count() == 5, process)
    factory.serve(5)
    wait_until(lambda: Event.objects.count() == 10, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0


def test_valkey_away_stops_nothing(factory: Factory) -> None:
    factory.serve(500)
    process = start(factory, redis_url="unix:///nowhere/valkey.sock")
    wait_until(lambda: Event.objects.count() == 500, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0


def test_postgres_away_is_said_once_and_shipping_goes_on_when_it_is_back(
    factory: Factory, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends this session from the inside, as a restart would."""
    monkeypatch.setattr(ship_loop, "RETRY_FIRST_S", 0.01)
    caplog.set_level("INFO", "metering")
    stopped = Flag()
    rounds = 0
    real = factory.shipper.ship_round

    def round_with_trouble() -> list[Batch]:
        nonlocal rounds
        rounds += 1
        if rounds <= 2:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        batches = real()
        stopped.set()
        return batches

    monkeypatch.setattr(factory.shipper, "ship_round", round_with_trouble)
    factory.serve(3)
    ship_loop.ship_until(stopped, factory.shipper, interval_s=0.01)
    assert rounds == 3
    assert Event.objects.count() == 3
    assert caplog.text.count("Postgres is away") == 1
    assert "Postgres is back" in caplog.text
