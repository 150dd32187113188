"""A trace goes through a whole copy, and everybody who counts it says the same."""

from decimal import Decimal
from pathlib import Path

import pytest

from tests.stories import books, trace
from tests.stories.copy_of_tokenworks import running_copy
from tests.waiting import until

ROWS = 400
pytestmark = pytest.mark.story


def test_client_events_buckets_api_and_invoice_agree_to_the_last_token(home: Path, tmp_path: Path) -> None:
    path = trace.write(tmp_path / "trace.csv", ROWS, apart_ms=50)
    expected = trace.totals_of(path)
    with running_copy(home, speed="max") as copy:
        acme = copy.tenants[0]
        log = tmp_path / "received.jsonl"
        target = ("--url", copy.url, "--key", acme.secret, "--model", copy.models[0])
        replayed = copy.command("replay", str(path), *target, "--flat-out", "--mixed", "--strict", "--log", str(log))
        assert replayed.returncode == 0, replayed.stderr
        received = trace.log_of(log)
        assert len({row["request_id"] for row in received}) == ROWS
        assert sum(row["prompt_tokens"] for row in received) == expected.input
        assert sum(row["completion_tokens"] for row in received) == expected.output
        assert {row["streamed"] for row in received} == {True, False}

        copy.wait_until_counted()
        assert books.by_events(copy) == expected
        assert books.by_buckets(copy) == expected
        assert books.by_usage_api(copy, acme) == expected
        invoice = books.close_month(copy, acme)
        assert books.by_invoice(invoice) == expected
        books.assert_priced_exactly(invoice, Decimal("19.00"))

        until(lambda: any(hour.allocated for hour in books.pool_hours(copy)), "the hour's cost is allocated", 120)
        for hour in books.pool_hours(copy):
            assert hour.cost == hour.allocated + hour.unallocated
            assert hour.shares == hour.allocated
