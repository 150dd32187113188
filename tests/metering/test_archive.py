import os
import re
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from metering import archive, archive_file, partitions, rollup
from metering.models import Alert, Archive, Backfill, Batch, Bucket, Event
from metering.usage import COUNT_MAX, REPORTED_UNITS, Usage
from tests.conftest import Person
from tests.metering import samples
from tests.metering.archived import (
    DECEMBER_US,
    MARCH,
    NOVEMBER,
    PART_1,
    PART_2,
    counted,
    files,
    kept,
    no_month_of_another_test,
    november_is_removed,
)
from tests.metering.conftest import Factory
from tests.metering.reported import caller, flat, report

pytestmark = pytest.mark.django_db

__all__ = ["kept", "no_month_of_another_test", "november_is_removed"]  # Fixtures.

COLUMNS = archive_file.SCHEMA.names


def test_a_month_that_is_old_enough_is_archived_and_dropped_whole(factory: Factory, kept: Path) -> None:
    counted(factory)
    counted(factory, at_us=DECEMBER_US)
    buckets = list(Bucket.objects.values_list("start", "unit", "quantity"))
    (record,) = archive.archive_due(MARCH)
    assert (record.month, record.part, record.rows) == (NOVEMBER.date(), 1, 3)
    assert record.location == f"{kept.as_uri()}/{PART_1}"
    assert record.file_bytes == (kept / PART_1).stat().st_size
    assert bytes(record.sha256) == archive_file.digest(kept / PART_1)
    assert record.dropped_at is not None
    assert NOVEMBER not in partitions.months()
    assert {event.occurred_at.month for event in Event.objects.all()} == {12}
    assert list(Bucket.objects.values_list("start", "unit", "quantity")) == buckets
    assert archive.archive_due(MARCH) == []


def test_every_value_of_every_event_is_in_the_file(factory: Factory, kept: Path) -> None:
    usages = [Usage(), Usage(0, output=COUNT_MAX, image=3), Usage(*range(11)), Usage(reasoning=COUNT_MAX)]
    words = [None, b'{"a": "\\u00e4 \\" , \\n", "b": [1, null]}', b"not JSON", b"{}"]
    for usage, said in zip(usages, words, strict=True):
        begun = samples.opened(offering='a "strange",\nname;', deployment="", at_us=samples.NOON_US + 1)
        factory.gateway.append_opened(begun)
        factory.gateway.append_closed(samples.closed(begun, usage=usage, upstream_usage=said))
    factory.ship()
    Event.objects.filter(image=3).update(sign=-1, corrects=uuid.uuid4(), source="", external_id="x\r\n,y")
    rollup.fold_everything()
    names = ", ".join(f"{name}::text" if name in ("id", "corrects", "upstream_usage") else name for name in COLUMNS)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {names} FROM metering_event ORDER BY id::text")
        in_database = cursor.fetchall()
    archive.archive_due(MARCH)
    archived = pq.read_table(kept / PART_1).sort_by("id").to_pylist()
    assert [tuple(row.values()) for row in archived] == in_database
    assert len(in_database) == 4


def test_no_column_of_the_file_is_a_float_and_all_are_compressed(factory: Factory, kept: Path) -> None:
    counted(factory)
    archive.archive_due(MARCH)
    with pq.ParquetFile(kept / PART_1) as file:
        assert not [field for field in file.schema_arrow if pa.types.is_floating(field.type)]
        group = file.metadata.row_group(0)
        assert {group.column(place).compression for place in range(group.num_columns)} == {"ZSTD"}


def test_a_file_has_row_groups_of_a_limited_size(factory: Factory, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_file, "GROUP_ROWS", 10)
    monkeypatch.setattr(archive_file, "BLOCK_BYTES", 4096)
    counted(factory, 95)
    archive.archive_due(MARCH)
    with pq.ParquetFile(kept / PART_1) as file:
        sizes = [file.metadata.row_group(place).num_rows for place in range(file.num_row_groups)]
    assert (sum(sizes), max(sizes), len(sizes)) == (95, 10, 10)


def test_a_month_without_events_leaves_an_empty_file(kept: Path) -> None:
    partitions.ensure([NOVEMBER])
    (record,) = archive.archive_due(MARCH)
    assert record.rows == pq.read_table(kept / PART_1).num_rows == 0


@pytest.mark.parametrize(
    ("kept_months", "now", "goes"),
    [(0, MARCH, False), (4, MARCH, False), (3, MARCH, True), (3, MARCH - timedelta(microseconds=1), False)],
)
def test_a_month_goes_when_as_many_whole_months_as_the_setting_says_came_after_it(
    factory: Factory, settings: Any, kept_months: int, now: datetime, goes: bool
) -> None:
    settings.TOKENWORKS_EVENT_MONTHS_KEPT = kept_months
    counted(factory)
    assert bool(archive.archive_due(now)) is goes
    assert (NOVEMBER in partitions.months()) is not goes


def test_what_may_still_be_late_is_kept_whatever_the_setting() -> None:
    # From the last instant of the youngest month that may go to the first instant at which it may.
    spans = []
    for number in range(48):
        month = datetime(2023 + number // 12, number % 12 + 1, 1, tzinfo=UTC)
        now = month
        for _ in range(archive.MONTHS_KEPT_MIN + 1):
            now = partitions.next_month(now)
        spans.append(now - partitions.next_month(month))
    assert min(spans) > timedelta(days=35 + 31)  # Late usage, and a whole month to invoice it in.


def test_a_month_with_events_that_wait_for_the_folder_stays(factory: Factory, kept: Path) -> None:
    factory.serve(1)
    factory.ship()
    assert archive.archive_due(MARCH) == []
    assert (Event.objects.count(), files(kept)) == (1, [])
    alert = Alert.objects.get(kind="archive_failed", subject="2023-11")
    assert "wait for the folder" in alert.message
    rollup.fold_everything()
    assert len(archive.archive_due(MARCH)) == 1
    alert.refresh_from_db()
    assert alert.resolved_at is not None


def test_a_month_with_events_of_an_open_backfill_stays(factory: Factory) -> None:
    counted(factory)
    backfill = Backfill.objects.create(tenant_id=1, name="spring", created_at=timezone.now())
    Batch.objects.update(folded_at=None, held=True, backfill=backfill)
    rollup.fold_everything()
    assert archive.archive_due(MARCH) == []
    assert Event.objects.count() == 3


def test_a_month_that_fails_does_not_hold_up_the_others(factory: Factory) -> None:
    counted(factory, at_us=DECEMBER_US)
    factory.serve(1)
    factory.ship()  # November waits for the folder.
    assert [str(record) for record in archive.archive_due(datetime(2024, 4, 1, tzinfo=UTC))] == ["2023-12"]


def test_late_events_of_a_dropped_month_are_counted_and_become_another_part(factory: Factory, kept: Path) -> None:
    counted(factory)
    archive.archive_due(MARCH)
    counted(factory, 2)
    assert Bucket.objects.get(unit="request").quantity == 5
    assert Event.objects.count() == 2
    (record,) = archive.archive_due(MARCH)
    assert (record.part, record.rows) == (2, 2)
    assert files(kept) == [PART_1, PART_2]
    assert list(Archive.objects.values_list("part", "rows")) == [(1, 3), (2, 2)]
    ids = pq.read_table(kept / PART_1)["id"].to_pylist() + pq.read_table(kept / PART_2)["id"].to_pylist()
    assert len(set(ids)) == 5


def test_figures_tell_missing_from_zero_and_do_not_overflow(factory: Factory, tmp_path: Path) -> None:
    for usage in (Usage(output=1), Usage(output=1, image=0)):
        begun = samples.opened()
        factory.gateway.append_opened(begun)
        factory.gateway.append_closed(samples.closed(begun, usage=usage))
    factory.ship()
    Event.objects.update(output=2**63 - 1)  # More than a journal may say, and all that a column holds.
    archive_file.write("metering_event_2023_11", tmp_path / "file")
    in_table = archive_file.figures_of_table("metering_event_2023_11")
    assert archive_file.figures_of_file(tmp_path / "file") == in_table
    (figures,) = in_table.values()
    output, image = (1 + 2 * REPORTED_UNITS.index(unit) for unit in ("output", "image"))
    assert figures[0] == 2
    assert figures[output : output + 2] == [2, 2 * (2**63 - 1)]
    assert figures[image : image + 2] == [1, 0]


def test_an_alert_is_over_when_the_month_was_archived_by_hand(factory: Factory) -> None:
    factory.serve(1)
    factory.ship()
    archive.archive_due(MARCH)
    assert Alert.objects.get(kind="archive_failed").resolved_at is None
    rollup.fold_everything()
    told("--month", "2023-11")
    assert Alert.objects.get(kind="archive_failed").resolved_at is not None


def told(*arguments: str) -> str:
    out = StringIO()
    call_command("archive", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_archives_one_month_and_lists_what_is_where(factory: Factory, kept: Path) -> None:
    counted(factory)
    assert "2023-11  in the database" in told("--list")
    assert told("--month", "2023-11").startswith("2023-11  3 events")
    listed = told("--list")
    assert "2023-11  in the database" not in listed
    assert f"2023-11  archived  3 events  {(kept / PART_1).stat().st_size} bytes" in listed
    assert told() == "Nothing was archived.\n"


@pytest.mark.parametrize(
    ("month", "said"),
    [
        ("November", "is not a month"),
        ("2023-13", "is not a month"),
        ("1999-01", "no events of 1999-01"),
        (f"{timezone.now():%Y-%m}", "must be kept"),
    ],
)
def test_the_command_refuses_what_it_cannot_archive(month: str, said: str) -> None:
    partitions.ensure_ahead()
    with pytest.raises(CommandError, match=said):
        told("--month", month)


def test_duckdb_reads_the_archive_with_the_documented_query(factory: Factory, kept: Path, settings: Any) -> None:
    counted(factory, 2)
    counted(factory, 1, tenant_id=2)
    archive.archive_due(MARCH)
    counted(factory, 1)  # A late one, in a part of its own.
    archive.archive_due(MARCH)
    documented = (settings.BASE_DIR / "docs" / "metering.md").read_text()
    (query,) = re.findall(r"```sql\n(SELECT tenant_id.*?)```", documented, re.DOTALL)
    assert ".tokenworks/archive" in query
    with duckdb.connect() as reader:
        found = reader.execute(query.replace(".tokenworks/archive", str(kept))).fetchall()
    assert found == [(1, "llama-3.3-70b", 3, 21, 9), (2, "llama-3.3-70b", 1, 7, 3)]


def test_a_backfill_of_which_a_month_is_archived_cannot_be_reverted_by_half(alice: Person) -> None:
    client = caller(alice)
    client.post(reverse("backfills"), {"name": "spring"}, format="json")
    for number, days in enumerate((200, 40)):
        report(alice, flat(number, timezone.now() - timedelta(days=days)), backfill="spring")
    client.post(reverse("backfill-commit", args=["spring"]))
    rollup.fold_everything()
    before = list(Bucket.objects.order_by("pk").values_list("start", "unit", "quantity"))
    assert len(archive.archive_due()) == 1
    answer = client.post(reverse("backfill-revert", args=["spring"]))
    assert answer.status_code == 409, answer.content
    assert b"archived" in answer.content
    rollup.fold_everything()
    assert list(Bucket.objects.order_by("pk").values_list("start", "unit", "quantity")) == before
    assert Backfill.objects.get().state == Backfill.State.COMMITTED


@pytest.mark.parametrize("months", ["1", "2", "-1", "many"])
def test_too_few_months_are_refused_before_anything_starts(tmp_path: Path, months: str) -> None:
    environment = {**os.environ, "TOKENWORKS_HOME": str(tmp_path), "TOKENWORKS_EVENT_MONTHS_KEPT": months}
    done = subprocess.run(
        [sys.executable, "-c", "import config.settings"],
        env=environment, cwd=django_settings.BASE_DIR, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "BadSetting: TOKENWORKS_EVENT_MONTHS_KEPT" in done.stderr


def test_the_operator_sees_what_is_archived(factory: Factory, olga: User, client: Client) -> None:
    counted(factory)
    archive.archive_due(MARCH)
    client.force_login(olga)
    assert PART_1 in client.get(reverse("admin:metering_archive_changelist")).content.decode()
