"""Archiving that is killed, runs twice, meets others, or gets back something else than it stored."""

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.conf import settings as django_settings
from django.db import connection, transaction

from metering import archive, archive_file, archive_store
from metering.models import Alert, Archive, Event
from tests.metering.archived import (
    MARCH,
    NOVEMBER,
    PART_1,
    counted,
    files,
    kept,
    no_month_of_another_test,
    november_is_removed,
)
from tests.metering.conftest import Factory
from tests.metering.threads import at_once
from tests.waiting import until

pytestmark = pytest.mark.django_db

__all__ = ["kept", "no_month_of_another_test", "november_is_removed"]  # Fixtures.

COLUMNS = archive_file.SCHEMA.names


@pytest.mark.parametrize("spoilt", [b"", b"PAR1 and nothing else PAR1", None])
def test_a_store_that_spoils_the_file_loses_nothing(
    factory: Factory, kept: Path, monkeypatch: pytest.MonkeyPatch, spoilt: bytes | None
) -> None:
    counted(factory)
    put = archive_store.ArchiveStore.put

    def put_and_spoil(store: archive_store.ArchiveStore, name: str, path: Path) -> None:
        put(store, name, path)
        whole = (kept / name).read_bytes()
        (kept / name).write_bytes(whole[:-1] if spoilt is None else spoilt)

    monkeypatch.setattr(archive_store.ArchiveStore, "put", put_and_spoil)
    assert archive.archive_due(MARCH) == []
    assert Event.objects.count() == 3
    assert "is not what was written" in Alert.objects.get(kind="archive_failed").message
    monkeypatch.undo()


@pytest.mark.parametrize("column", ["tenant_id", "output", "sign"])
def test_a_file_that_says_something_else_than_the_partition_is_not_trusted(
    factory: Factory, kept: Path, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    counted(factory)
    write = archive_file.write

    def write_wrongly(table: str, path: Path) -> None:
        write(table, path)
        rows = pq.read_table(path)
        place = rows.schema.get_field_index(column)
        field = archive_file.SCHEMA.field(place)
        values = [*rows[column].to_pylist()[:-1], -1]
        pq.write_table(rows.set_column(place, field, pa.array(values, field.type)), path)

    monkeypatch.setattr(archive_file, "write", write_wrongly)
    with pytest.raises(archive.ArchiveDiffers):
        archive.archive_month(NOVEMBER, MARCH)
    assert Event.objects.count() == 3


class Killed(BaseException):
    """Nothing in the product catches it, as nothing catches SIGKILL."""


STEPS: list[tuple[object, str]] = [
    (archive_file, "write"),
    (archive_store.ArchiveStore, "put"),
    (archive_store.ArchiveStore, "fetch"),
    (archive_file, "figures_of_file"),
    (Archive.objects, "update_or_create"),
    (archive_file, "figures_of_table"),
    (archive_store.ArchiveStore, "version"),
    (Archive, "save"),
]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", range(len(STEPS)))
def test_a_run_that_was_killed_at_any_step_is_taken_up(
    factory: Factory, kept: Path, monkeypatch: pytest.MonkeyPatch, step: int, after: bool
) -> None:
    counted(factory)
    place, name = STEPS[step]
    deed: Callable[..., Any] = getattr(place, name)

    def die(*args: Any, **kwargs: Any) -> None:
        if after:
            deed(*args, **kwargs)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(place, name, die)
        # The savepoint stands for the transaction that a killed process leaves to Postgres to roll back.
        with pytest.raises(Killed), transaction.atomic():
            archive.archive_due(MARCH)
    assert Event.objects.count() == 3
    (record,) = archive.archive_due(MARCH)
    assert (record.rows, record.part, files(kept)) == (3, 1, [PART_1])
    assert pq.read_table(kept / PART_1).num_rows == 3
    assert Event.objects.count() == 0
    assert list((kept.parent / "home" / "archiving").iterdir()) == []


def test_events_that_come_while_a_month_is_archived_are_in_the_file(
    factory: Factory, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted(factory)
    put, late = archive_store.ArchiveStore.put, iter([2])

    def put_while_events_arrive(*args: Any) -> None:
        put(*args)
        for count in late:
            counted(factory, count)

    monkeypatch.setattr(archive_store.ArchiveStore, "put", put_while_events_arrive)
    (record,) = archive.archive_due(MARCH)
    assert record.rows == pq.read_table(kept / PART_1).num_rows == 5
    assert Event.objects.count() == 0


@pytest.mark.usefixtures("november_is_removed")
def test_of_two_runs_at_once_one_does_it(factory: Factory, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted(factory)
    write, inside, other_ended = archive_file.write, threading.Event(), threading.Event()

    def write_slowly(table: str, path: Path) -> None:
        inside.set()
        assert other_ended.wait(30)
        write(table, path)

    def second() -> list[Archive]:
        assert inside.wait(30)
        try:
            return archive.archive_due(MARCH)
        finally:
            other_ended.set()

    monkeypatch.setattr(archive_file, "write", write_slowly)
    first, idle = at_once(lambda: archive.archive_due(MARCH), second)
    assert [record.rows for record in first] == [3]  # type: ignore[attr-defined]  # A list of records.
    assert idle == []
    assert files(kept) == [PART_1]


@pytest.mark.usefixtures("november_is_removed")
def test_a_long_reader_is_not_queued_behind_and_the_month_goes_the_next_time(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted(factory)
    reading, tried = threading.Event(), threading.Event()

    def read() -> None:
        with transaction.atomic():
            assert Event.objects.count() == 3
            reading.set()
            assert tried.wait(30)

    def attempt() -> None:
        try:
            assert reading.wait(30)
            with monkeypatch.context() as patched:
                patched.setattr(archive, "LOCK_TIMEOUT_MS", 50)
                with pytest.raises(archive.PartitionInUse, match="in use"):
                    archive.archive_month(NOVEMBER, MARCH)
        finally:
            tried.set()

    at_once(read, attempt)
    assert Event.objects.count() == 3
    record = archive.archive_month(NOVEMBER, MARCH)
    assert record is not None
    assert record.rows == 3


def test_a_file_that_another_run_replaced_is_not_trusted(
    factory: Factory, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted(factory)
    figures = archive_file.figures_of_table

    def replaced_meanwhile(table: str) -> archive_file.Figures:
        obstore.put(obstore.store.LocalStore(kept), PART_1, b"of a run that lost its connection")
        return figures(table)

    monkeypatch.setattr(archive_file, "figures_of_table", replaced_meanwhile)
    with pytest.raises(archive.ArchiveDiffers, match="somebody else"):
        archive.archive_month(NOVEMBER, MARCH)
    assert Event.objects.count() == 3


@pytest.mark.usefixtures("november_is_removed")
def test_processes_that_are_killed_again_and_again_archive_a_month_in_the_end(factory: Factory, kept: Path) -> None:
    counted(factory, 1)
    with connection.cursor() as cursor:
        names = ", ".join(name for name in COLUMNS if name != "id")
        cursor.execute(
            f"INSERT INTO metering_event (id, {names})"
            f" SELECT gen_random_uuid(), {names} FROM metering_event, generate_series(1, 30000)"
        )
    random_s, before = random.Random(4), connected()
    for _ in range(4):
        process = start_archiving(kept)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1.2 + random_s.random() * 1.2)  # It takes about a second to begin.
        process.kill()
        process.communicate()
        until(lambda: connected() <= before, "Postgres has seen that the process is gone")
        record = Archive.objects.first()
        assert Event.objects.count() == (0 if record is not None and record.dropped_at else 30_001)
    process = start_archiving(kept)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0 or "no events of 2023-11" in said, said
    assert Event.objects.count() == 0
    assert files(kept) == [PART_1]
    assert pq.read_table(kept / PART_1).num_rows == Archive.objects.get().rows == 30_001


def connected() -> set[int]:
    """The processes of Postgres that serve somebody in this database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        )
        return {pid for (pid,) in cursor.fetchall()}


def start_archiving(kept: Path) -> "subprocess.Popen[str]":
    database = connection.settings_dict
    environment = {
        **os.environ,
        "TOKENWORKS_HOME": str(kept.parent / "home"),
        "TOKENWORKS_ARCHIVE_URL": kept.as_uri(),
        "DATABASE_URL": f"postgresql://{database['USER']}@/{database['NAME']}?host={quote(database['HOST'])}",
        "REDIS_URL": django_settings.REDIS_URL,
        "TOKENWORKS_SECRET_KEY": "of-a-test" * 6,
    }
    command = [sys.executable, "manage.py", "archive", "--month", "2023-11"]
    return subprocess.Popen(
        command, cwd=django_settings.BASE_DIR, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
