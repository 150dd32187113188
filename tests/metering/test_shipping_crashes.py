"""A shipper that dies, or loses Postgres, anywhere: the next one goes on, and nothing is lost or doubled."""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection

from metering import event_rows, reader
from metering.models import Batch, Event
from metering.records import Closed
from tests.metering.conftest import Factory, ids, shipped_ids

pytestmark = pytest.mark.django_db


class Crash(BaseException):
    """The process dies here, so to speak."""


def fail_at(number: int, told: list[str]) -> Callable[..., Any]:
    def execute(run: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        told.append(sql)
        if len(told) == number:
            raise Crash
        return run(sql, *arguments)

    return execute


@pytest.mark.django_db(transaction=True)
def test_a_crash_at_any_statement_leaves_a_batch_whole_or_not_at_all(
    factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    for number in range(1, 100):
        answered = factory.serve(2)
        before = Event.objects.count(), Batch.objects.count()
        told: list[str] = []
        with connection.execute_wrapper(fail_at(number, told)), suppress(Crash):
            factory.new_shipper().ship_round()
        if len(told) < number:
            break
        whole = (before[0] + 2, before[1] + 1)  # Where it came after the commit.
        assert (Event.objects.count(), Batch.objects.count()) in (before, whole)
        factory.ship()
        assert set(ids(answered)) <= set(shipped_ids())
        assert Event.objects.count() == before[0] + 2
    assert number > 4


def test_a_copy_that_breaks_off_leaves_nothing(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    real = event_rows.EventRows.encode
    monkeypatch.setattr(reader, "BLOCK_BYTES", 300)  # So that its rows come in several blocks.
    calls = []

    def broken(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            raise Crash
        return real(*arguments)

    factory.serve(3)
    monkeypatch.setattr(event_rows.EventRows, "encode", broken)
    with pytest.raises(Crash):
        factory.shipper.ship_round()
    assert (Event.objects.count(), Batch.objects.count()) == (0, 0)
    monkeypatch.undo()
    assert factory.ship() == 3


def test_trouble_with_postgres_is_not_taken_for_trouble_with_a_journal(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise OperationalError

    factory.serve(1)
    with connection.execute_wrapper(away), pytest.raises(OperationalError):
        factory.shipper.ship_round()
    assert factory.ship() == 1


def test_a_crash_at_any_deed_on_the_disk_changes_nothing(
    factory: Factory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Reading, syncing and deleting: each in turn is where the process dies, and the next shipper goes on."""
    caplog.set_level(logging.CRITICAL)
    small = factory.open("gateway-2", segment_bytes_max=500)
    answered: list[Closed] = []
    deeds = [(os, "pread"), (os, "fdatasync"), (os, "fstat"), (Path, "unlink"), (Path, "iterdir"), (Path, "read_text")]
    for owner, name in deeds:
        for number in range(1, 4):
            answered += factory.serve(10, small)
            with monkeypatch.context() as patched, suppress(Crash):
                patched.setattr(owner, name, failing_at(number, getattr(owner, name)))
                dying = factory.new_shipper()
                for _ in range(3):
                    dying.ship_round()
            factory.shipper = factory.new_shipper()
            factory.ship()
            assert shipped_ids() == ids(answered)
    assert not Batch.objects.filter(duplicates__gt=0).exists()
    small.close()


def failing_at(number: int, deed: Callable[..., Any]) -> Callable[..., Any]:
    told: list[object] = []

    def fail(*arguments: Any, **named: Any) -> Any:
        told.append(arguments)
        if len(told) == number:
            raise Crash
        return deed(*arguments, **named)

    return fail
