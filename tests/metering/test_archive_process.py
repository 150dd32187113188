"""The nightly task archives in a process of its own."""

import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
from django.conf import settings as django_settings
from django.db import connection

from metering import archive_process, tasks
from metering.models import Archive, Event
from tests.metering.archived import NOVEMBER, PART_1, counted, kept, no_month_of_another_test, november_is_removed
from tests.metering.conftest import Factory

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["kept", "no_month_of_another_test", "november_is_removed"]  # Fixtures.


@pytest.fixture(autouse=True)
def same_database_and_archive(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process knows of the settings is its environment."""
    database = connection.settings_dict
    given = {
        "TOKENWORKS_HOME": str(kept.parent / "home"),
        "TOKENWORKS_ARCHIVE_URL": kept.as_uri(),
        "TOKENWORKS_EVENT_MONTHS_KEPT": "3",
        "TOKENWORKS_SECRET_KEY": "of-a-test" * 6,
        "DATABASE_URL": f"postgresql://{database['USER']}@/{database['NAME']}?host={quote(database['HOST'])}",
        "REDIS_URL": django_settings.REDIS_URL,
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("november_is_removed")
def test_the_task_archives_what_is_old_enough(factory: Factory, kept: Path) -> None:
    counted(factory)
    tasks.archive_old_months()
    tasks.archive_old_months()  # A task may run twice.
    assert Event.objects.count() == 0
    november = Archive.objects.get(month=NOVEMBER.date())  # By the clock there are more months of other tests.
    assert pq.read_table(kept / PART_1).num_rows == november.rows == 3


@pytest.mark.usefixtures("november_is_removed")
def test_nothing_is_begun_where_all_months_are_kept(
    factory: Factory, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted(factory)
    settings.TOKENWORKS_EVENT_MONTHS_KEPT = 0
    monkeypatch.setattr(sys, "executable", "/there/is/no/such/program")
    tasks.archive_old_months()
    assert Event.objects.count() == 3


@pytest.mark.usefixtures("november_is_removed")
def test_a_process_that_dies_fails_the_task_and_the_month_stays(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted(factory)
    monkeypatch.setitem(os.environ, "DATABASE_URL", "postgresql://nobody@/nothing?host=/nowhere")
    with pytest.raises(archive_process.ArchivingDied, match="ended with 1"):
        tasks.archive_old_months()
    assert Event.objects.count() == 3


def test_a_process_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    endless = tmp_path / "endless"
    endless.write_text("#!/bin/sh\nexec sleep 600\n")
    endless.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(endless))
    monkeypatch.setattr(archive_process, "TIME_LIMIT_S", 0.1)
    with pytest.raises(archive_process.ArchivingDied, match=r"after 0\.1 s"):
        archive_process.archive_due()
