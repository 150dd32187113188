import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.http import StreamingHttpResponse
from django.test import AsyncClient
from django.urls import reverse
from rest_framework.test import APIClient

from metering import exports, totals, usage_exports
from metering.models import Bucket
from metering.streaming import Chunks
from metering.totals import BrokenCursor, Question, SpanTooLong, usage_page
from metering.usage import Unit
from tests.conftest import Person

pytestmark = pytest.mark.django_db

NOON = datetime(2023, 11, 15, 12, tzinfo=UTC)
NOVEMBER = {"from": "2023-11-01T00:00:00Z", "to": "2023-12-01T00:00:00Z"}
YEAR = (datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC))


def used(person: Person, quantity: int = 1, *, at: datetime = NOON, **changed: Any) -> None:
    bucket = {
        "tenant_id": person.tenant.pk, "start": at, "project_id": person.project.pk, "api_key_id": person.key.pk,
        "offering": "llama", "deployment": "llama-at-a", "billed": True, "unit": "output", "quantity": quantity,
        "updated_at": at,
    }  # fmt: skip
    Bucket.objects.create(**(bucket | changed))


def get(person: Person, *, headers: Any = None, **query: str) -> Any:
    client = APIClient()
    client.force_login(person.user)
    return client.get(reverse("usage"), {**NOVEMBER, **query}, headers=headers)


def results(person: Person, **query: str) -> Any:
    answer = get(person, **query)
    assert answer.status_code == 200, answer.json()
    return answer.json()["results"]


def content(answer: Any) -> bytes:
    assert isinstance(answer, StreamingHttpResponse)
    return b"".join(answer)


def lines(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content(answer).decode(), newline="")))


def test_usage_is_grouped_by_grade_tier_unit_and_every_length_of_time(alice: Person) -> None:
    used(alice, 5, at=NOON + timedelta(minutes=45), grade="grounded", service_tier="batch")
    (total,) = results(alice, group_by="grade,service_tier,unit,quarter,hour,day,month")
    assert total["group"] == {
        "grade": "grounded", "service_tier": "batch", "unit": "output", "quarter": "2023-11-15T12:45:00Z",
        "hour": "2023-11-15T12:00:00Z", "day": "2023-11-15", "month": "2023-11-01",
    }  # fmt: skip
    assert (total["units"], total["requests"], total["output_tokens"]) == ({"output": 5}, None, 5)


@pytest.mark.parametrize(
    ("narrowed", "found"),
    [
        ({"offering": "other"}, 2),
        ({"deployment": "other"}, 4),
        ({"grade": "grounded"}, 8),
        ({"grade": ""}, 55),
        ({"service_tier": "batch"}, 16),
        ({"api_key": "99"}, 32),
        ({"unit": "reasoning"}, 0),
        ({"project": "no-such-project"}, 0),
        ({"offering": "other", "grade": "grounded"}, 0),
    ],
)
def test_usage_can_be_narrowed_to_any_dimension(alice: Person, narrowed: dict[str, str], found: int) -> None:
    used(alice, 1)
    used(alice, 2, offering="other")
    used(alice, 4, deployment="other")
    used(alice, 8, grade="grounded")
    used(alice, 16, service_tier="batch")
    used(alice, 32, api_key_id=99)
    assert (results(alice, **narrowed)[0]["output_tokens"] or 0) == found
    assert results(alice, project=alice.project.slug)[0]["output_tokens"] == 63


def test_pages_hold_every_group_once_and_in_order(alice: Person) -> None:
    for number in range(23):
        used(alice, number + 1, offering=f"model {number:02}, ä")
        used(alice, 1, offering=f"model {number:02}, ä", unit="request")
    client = APIClient()
    client.force_login(alice.user)
    whole = results(alice, group_by="offering,day")
    address, paged, pages = f"{reverse('usage')}?group_by=offering,day&limit=5&from={NOVEMBER['from']}", [], 0
    while address:
        page = client.get(address).json()
        paged += page["results"]
        address, pages = page["next"], pages + 1
    assert (paged, pages) == (whole, 5)


@pytest.mark.parametrize(
    "group_by", [["hour", "offering"], ["day", "offering"], ["month"], ["quarter"], ["billed", "day"]]
)
def test_pages_that_begin_with_a_time_hold_every_group_once(alice: Person, group_by: list[str]) -> None:
    for number in range(40):
        used(alice, 1, at=NOON + number * timedelta(hours=7, minutes=15), offering=f"model-{number % 3}")
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu"):
        question = Question({alice.tenant.pk}, *(YEAR[0] + timedelta(days=272), YEAR[1]), group_by, zone=zone)
        whole, _ = usage_page(question, None, 1000)
        paged, cursor = usage_page(question, None, 3)
        while cursor is not None:
            more, cursor = usage_page(question, cursor, 3)
            paged += more
        assert paged == whole
        assert sum(total.output_tokens or 0 for total in whole) == 40


def test_what_is_folded_between_two_pages_moves_no_group_to_another(alice: Person) -> None:
    for name in ("b", "d", "f", "h"):
        used(alice, 1, offering=name)
    question = Question({alice.tenant.pk}, *YEAR, ["offering"])
    first, cursor = usage_page(question, None, 2)
    for name in ("a", "c", "g"):
        used(alice, 1, offering=name)
    second, _ = usage_page(question, cursor, 9)
    assert [total.group["offering"] for total in first + second] == ["b", "d", "f", "g", "h"]


def test_the_next_page_names_the_bounds_for_the_running_month_may_be_another_then(alice: Person) -> None:
    start, end = totals.this_month(datetime.now(UTC))
    for name in ("a", "b"):
        used(alice, 1, offering=name, at=start)
    client = APIClient()
    client.force_login(alice.user)
    asked = parse_qs(
        urlsplit(client.get(reverse("usage"), {"group_by": "offering", "limit": "1"}).json()["next"]).query
    )
    assert [datetime.fromisoformat(asked[name][0]) for name in ("from", "to")] == [start, end]


def test_a_cursor_of_another_question_or_none_at_all_is_refused(alice: Person, mallory: Person) -> None:
    for name in ("a", "b"):
        used(alice, 1, offering=name)
    question = Question({alice.tenant.pk}, *YEAR, ["offering"])
    _, cursor = usage_page(question, None, 1)
    assert cursor is not None
    for other in (
        Question({mallory.tenant.pk}, *YEAR, ["offering"]),
        Question({alice.tenant.pk}, *YEAR, ["offering"], billed=True),
        Question({alice.tenant.pk}, *YEAR, ["deployment"]),
        Question({alice.tenant.pk}, *YEAR, ["offering"], only={"unit": "output"}),
    ):
        with pytest.raises(BrokenCursor, match="another question"):
            usage_page(other, cursor, 1)
    for broken in ("", "x", cursor[:-1], cursor.swapcase(), "' OR 1=1"):
        with pytest.raises(BrokenCursor, match="not a cursor"):
            usage_page(question, broken, 1)


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ({"cursor": "made up"}, "cursor", "not a cursor"),
        ({"limit": "0"}, "limit", "greater than or equal to 1"),
        ({"limit": "10001"}, "limit", "less than or equal to 10000"),
        ({"unit": "joule"}, "unit", "not a valid choice"),
        ({"service_tier": "fast"}, "service_tier", "not a valid choice"),
        ({"api_key": "mine"}, "api_key", "integer"),
        ({"api_key": str(2**63)}, "api_key", "less than or equal"),
        ({"offering": "a\0b"}, "offering", "Null characters"),
        ({"zone": "Berlin"}, "zone", "IANA"),
        ({"format": "xls"}, "format", "xls is not one of json, csv, parquet, focus, focus-parquet"),
        ({"format": "focus", "group_by": "offering"}, "group_by", "dimensions of its own"),
        ({"format": "focus", "group_by": "day,hour"}, "group_by", "dimensions of its own"),
        ({"group_by": "quarter", "to": "2024-02-02T00:15:00Z"}, "group_by", "By quarter, ask for 93 days at most"),
        ({"group_by": "hour", "to": "2024-11-02T00:00:00Z"}, "group_by", "By hour, ask for 366 days at most"),
        ({"group_by": "day", "to": "9999-12-31T00:00:00Z"}, "group_by", "By day, ask for 3660 days at most"),
        ({"group_by": "month", "to": "9999-12-31T00:00:00Z"}, "group_by", "By month, ask for 36600 days at most"),
        ({"format": "focus", "to": "9999-12-31T00:00:00Z"}, "group_by", "By day"),
        ({"format": "csv", "zone": "Mars/Olympus"}, "zone", "IANA"),
        ({"format": "parquet", "from": "later"}, "from", "format"),
    ],
)
def test_bad_input_is_refused_by_name_and_in_json(alice: Person, query: dict[str, str], field: str, said: str) -> None:
    answer = get(alice, **query)
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/json")
    assert list(answer.json()) == [field]
    assert said in answer.json()[field][0]


def test_a_question_is_refused_by_its_own_error(alice: Person) -> None:
    with pytest.raises(SpanTooLong):
        Question({1}, YEAR[0], YEAR[1], ["quarter"])


FORMATS = ("json", "csv", "parquet", "focus", "focus-parquet")


@pytest.mark.parametrize("file_format", FORMATS)
def test_mallory_sees_nothing_of_acme_in_any_format(alice: Person, mallory: Person, file_format: str) -> None:
    used(alice, 77, offering="secret-model")
    for query in ({}, {"project": alice.project.slug}, {"api_key": str(alice.key.pk)}, {"offering": "secret-model"}):
        answer = get(mallory, format=file_format, **query)
        assert answer.status_code == 200
        if file_format.endswith("parquet"):
            assert pq.read_table(io.BytesIO(content(answer))).num_rows <= (0 if "focus" in file_format else 1)
            continue
        said = answer.content if file_format == "json" else content(answer)
        assert b"secret-model" not in said
        assert b"77" not in said
        assert b"acme" not in said


@pytest.mark.parametrize("file_format", FORMATS)
def test_mallory_cannot_tell_whether_a_tenant_exists_in_any_format(
    alice: Person, mallory: Person, file_format: str
) -> None:
    others, unknown = (get(mallory, format=file_format, tenant=name) for name in ("acme", "nobody"))
    assert (others.status_code, others.content) == (unknown.status_code, unknown.content)
    assert (others.status_code, others["Content-Type"]) == (404, "application/json")
    client = APIClient()
    assert client.get(reverse("usage"), {"format": file_format}).status_code == 401


def test_mallory_cannot_use_a_cursor_of_acmes(alice: Person, mallory: Person) -> None:
    for name in ("a", "b"):
        used(alice, 1, offering=name)
        used(mallory, 1, offering=name)
    following = get(alice, group_by="offering", limit="1").json()["next"]
    cursor = parse_qs(urlsplit(following).query)["cursor"][0]
    answer = get(mallory, group_by="offering", limit="1", cursor=cursor)
    assert (answer.status_code, list(answer.json())) == (400, ["cursor"])


def test_csv_has_a_column_for_each_group_sum_and_unit(alice: Person) -> None:
    used(alice, 5)
    used(alice, 2, unit="request")
    answer = get(alice, format="csv", group_by="project,api_key,billed,day,hour")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="usage-2023-11-01-2023-12-01.csv"'
    (line,) = lines(answer)
    empty = {str(unit): "" for unit in Unit}
    assert line == {
        "project": f"acme/{alice.project.slug}", "api_key": str(alice.key.pk), "billed": "true", "day": "2023-11-15",
        "hour": "2023-11-15T12:00:00Z", "requests": "2", "input_tokens": "", "output_tokens": "5",
        **empty, "output": "5", "request": "2",
    }  # fmt: skip


def test_a_text_that_a_spreadsheet_would_run_is_defused_and_any_other_is_quoted(alice: Person) -> None:
    texts = ["=HYPERLINK(1)", "+1", "-1", "@x", "\tx", 'a "quoted", name', "two\nlines"]
    for text in texts:
        used(alice, 1, offering=text)
    told = {line["offering"] for line in lines(get(alice, format="csv", group_by="offering"))}
    assert told == {f"'{text}" for text in texts[:5]} | set(texts[5:])


def test_the_head_of_a_file_is_there_without_any_usage(alice: Person) -> None:
    assert content(get(alice, format="csv", group_by="offering")).startswith(b"offering,requests,")
    table = pq.read_table(io.BytesIO(content(get(alice, format="parquet", group_by="offering"))))
    assert (table.num_rows, table.column_names[0]) == (0, "offering")


def test_parquet_has_the_same_in_whole_numbers(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "GROUP_ROWS", 4)
    for number in range(10):
        used(alice, 2**62 + number, at=NOON + number * timedelta(days=1))
    answer = get(alice, format="parquet", group_by="day,quarter,billed,api_key")
    assert answer["Content-Type"] == "application/vnd.apache.parquet"
    file = pq.ParquetFile(io.BytesIO(content(answer)))
    assert file.num_row_groups == 3
    table = file.read()
    assert not [field for field in table.schema if pa.types.is_floating(field.type)]
    assert table["day"].to_pylist() == [date(2023, 11, 15) + number * timedelta(days=1) for number in range(10)]
    assert table["quarter"].to_pylist() == [NOON + number * timedelta(days=1) for number in range(10)]
    assert table["output"].to_pylist() == [2**62 + number for number in range(10)]
    assert table["reasoning"].null_count == 10


@pytest.mark.parametrize(
    ("accepted", "given"),
    [
        ("text/csv", "text/csv; charset=utf-8"),
        ("application/vnd.apache.parquet", "application/vnd.apache.parquet"),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
    ],
)
def test_a_format_may_be_asked_for_by_the_accept_header(alice: Person, accepted: str, given: str) -> None:
    answer = get(alice, headers={"accept": accepted})
    assert answer["Content-Type"] == given
    assert b"BilledCost" not in (content(answer) if answer.streaming else answer.content)


def test_a_file_is_read_from_the_database_in_parts(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "ROWS_AT_ONCE", 3)
    monkeypatch.setattr(exports, "ROWS_AT_ONCE", 3)
    for number in range(10):
        used(alice, 1, offering=f"model-{number}")
    answer = get(alice, format="csv", group_by="offering")
    parts = list(answer)
    assert len(parts) == 4
    assert b"".join(parts).count(b"model-") == 10


def test_a_caller_who_hangs_up_leaves_no_cursor_in_the_database(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "ROWS_AT_ONCE", 1)
    monkeypatch.setattr(exports, "ROWS_AT_ONCE", 1)
    for number in range(3):
        used(alice, 1, offering=f"model-{number}")
    question = Question({alice.tenant.pk}, *YEAR, ["offering"])
    made = Chunks(usage_exports.chunks(question, usage_exports.KINDS_OF_FILES["csv"]))
    assert open_cursors() == 1
    made.close()
    assert open_cursors() == 0


def open_cursors() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_cursors WHERE name LIKE '_django%%'")
        return int(cursor.fetchone()[0])


def test_under_asgi_a_file_is_sent_while_it_is_made(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(exports, "ROWS_AT_ONCE", 2)
    for number in range(5):
        used(alice, 1, offering=f"model-{number}")

    async def ask() -> list[bytes]:
        query = {**NOVEMBER, "format": "csv", "group_by": "offering"}
        bearer = {"authorization": f"Bearer {alice.secret}"}
        answer = await AsyncClient().get(reverse("usage"), query, headers=bearer)
        assert answer.status_code == 200
        return [part async for part in answer]  # type: ignore[attr-defined]  # It streams.

    parts = async_to_sync(ask)()
    assert len(parts) == 3
    assert b"".join(parts).count(b"model-") == 5


def test_a_tenants_month_reads_that_tenants_month_and_not_all_buckets(alice: Person) -> None:
    with connection.cursor() as cursor:
        cursor.execute("""
            INSERT INTO metering_bucket (tenant_id, start, project_id, api_key_id, offering, deployment, grade,
                                         service_tier, billed, unit, quantity, updated_at)
            SELECT tenant, timestamptz '2023-09-01 00:00Z' + number * interval '6 hours', 1, 1, 'a', 'd', '',
                   'standard', true, 'output', 1, now()
            FROM generate_series(1, 360) AS number, generate_series(1, 60) AS tenant
        """)
        cursor.execute("ANALYZE metering_bucket")
        for group_by in ([], ["day", "offering"], ["hour"], ["project", "month"]):
            question = Question({7}, NOON.replace(day=1), NOON.replace(day=30), group_by)
            for after in (None, ["2023-11-20", "a"] if group_by == ["day", "offering"] else None):
                statement, given = totals._statement(question, after, 100)
                cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", given)
                (plan,) = cursor.fetchone()
                scans = buckets_scanned(plan if isinstance(plan, list) else json.loads(plan))
                assert len(scans) == 1
                assert scans[0][0] in ("Bitmap Heap Scan", "Index Scan", "Index Only Scan")
                assert "tenant_id" in scans[0][1]
                assert "start" in scans[0][1]


def buckets_scanned(plan: Any) -> list[tuple[str, str]]:
    """Each scan of the table of buckets: its kind, and the condition that its index, or the one below, looks up."""
    if isinstance(plan, list):
        return [scan for part in plan for scan in buckets_scanned(part)]
    below = buckets_scanned([plan[name] for name in ("Plan",) if name in plan] + plan.get("Plans", []))
    if plan.get("Relation Name") != "metering_bucket":
        return below
    inner = plan.get("Plans", [plan])[0]
    return [(plan["Node Type"], inner.get("Index Cond", ""))]
