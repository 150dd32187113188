"""Every process is killed in turn while a trace runs, and what was answered is what is billed."""

from decimal import Decimal
from pathlib import Path

import pytest

from tests.stories import books, killing, trace
from tests.stories.copy_of_tokenworks import running_copy

ROWS = 400
pytestmark = pytest.mark.story


def test_what_was_answered_is_billed_though_everything_is_killed_in_turn(home: Path, tmp_path: Path) -> None:
    path = trace.write(tmp_path / "trace.csv", ROWS, apart_ms=50)
    with running_copy(home, speed="h100") as copy:
        received = killing.replay_under_fire(copy, path, tmp_path / "received.jsonl", speed_up=1)
        copy.wait_until_counted()
        interrupted = killing.assert_billed_is_answered(copy, received, rows=ROWS)
        assert interrupted, "no request was cut that the gateway had begun"
        invoice = books.close_month(copy, copy.tenants[0])
        assert books.by_invoice(invoice) == books.by_events(copy) == books.by_buckets(copy)
        books.assert_priced_exactly(invoice, Decimal("19.00"))
