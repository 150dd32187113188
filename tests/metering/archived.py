"""A month of events that is old enough to be archived, and the folder that it goes to."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from metering import partitions, rollup
from tests.metering import samples
from tests.metering.conftest import Factory

NOVEMBER = datetime(2023, 11, 1, tzinfo=UTC)  # The month of the samples.
DECEMBER_US = samples.NOON_US + 30 * 86_400 * 1_000_000
MARCH = datetime(2024, 3, 1, tzinfo=UTC)  # The first day on which three whole months are kept after it.
PART_1 = "events/month=2023-11/part-0001.parquet"
PART_2 = "events/month=2023-11/part-0002.parquet"


@pytest.fixture(autouse=True)
def kept(settings: Any, tmp_path: Path) -> Path:
    """Three months are kept, and the archive is a folder of the test's own."""
    settings.TOKENWORKS_EVENT_MONTHS_KEPT = 3
    settings.TOKENWORKS_HOME = tmp_path / "home"
    settings.TOKENWORKS_ARCHIVE_URL = (tmp_path / "archive").as_uri()
    return tmp_path / "archive"


@pytest.fixture(autouse=True)
def no_month_of_another_test(db: None) -> None:
    """Partitions stay where a test's transactions are real."""
    with connection.cursor() as cursor:
        for month in partitions.months():
            if month < MARCH:
                cursor.execute(f"DROP TABLE {partitions.name_of(month)}")


@pytest.fixture
def november_is_removed(transactional_db: None) -> Iterator[None]:
    """For tests whose transactions are real: their partitions would stay."""
    yield
    with connection.cursor() as cursor:
        for month in partitions.months():
            if month.year == 2023:
                cursor.execute(f"DROP TABLE {partitions.name_of(month)}")


def counted(factory: Factory, count: int = 3, **opened: Any) -> None:
    """Requests of November 2023 that are shipped and in their buckets."""
    factory.serve(count, **opened)
    factory.ship()
    rollup.fold_everything()


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
