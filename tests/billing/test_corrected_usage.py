"""Usage of a closed month that turns out to be wrong is put right on the next invoice, and the closed one stays."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing import closing
from billing.errors import UsageIsNotPriced
from billing.models import Invoice
from metering import backfills, rollup
from metering.ingest import ingest
from metering.ingest_formats.reading import read
from metering.reporter import Reporter
from tests.billing.samples import DECEMBER, LLAMA
from tests.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)

IN_NOVEMBER = "2026-11-10T09:15:00Z"
IN_DECEMBER = "2026-12-03T10:00:00Z"
JANUARY = datetime(2027, 1, 1, 8, 0, tzinfo=UTC)


def report(who: Person, now: datetime, *events: dict[str, Any], backfill_name: str | None = None) -> None:
    """Report these events of Acme's own gateway, and fold them."""
    body = b"\n".join(json.dumps({"source": "own-gateway", **event}).encode() for event in events)
    found = read(body, "application/x-ndjson", {}, tenant=who.tenant.slug, events_max=100)
    reporter = Reporter(who.tenant.pk, who.tenant.slug, who.project.pk, who.key.pk)
    ingest(reporter, found, now=now, backfill_name=backfill_name)
    rollup.fold_everything()


def event(name: str, time: str, output: int) -> dict[str, Any]:
    return {"id": name, "time": time, "offering": LLAMA, "usage": {"output": output}}


def printed(invoice: Invoice) -> list[tuple[str, int, Decimal, bool]]:
    lines = invoice.lines.exclude(unit="request")
    return [(line.description, line.quantity, line.amount, line.is_correction) for line in lines]


def test_an_event_that_is_amended_after_its_month_was_closed_is_corrected_on_the_next_invoice(priced: Person) -> None:
    report(priced, DECEMBER, event("a", IN_NOVEMBER, 5_000_000))
    november = closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)
    assert printed(november) == [(f"{LLAMA}, output tokens", 5_000_000, Decimal("12.00"), False)]

    right = {"id": "b", "offering": LLAMA, "usage": {"output": 3_000_000}, "amends": "a"}
    report(priced, JANUARY, event("c", IN_DECEMBER, 10_000_000), right)
    december = closing.close(priced.tenant, date(2026, 12, 1), now=JANUARY)
    assert printed(december) == [
        (f"{LLAMA}, output tokens", 10_000_000, Decimal("24.00"), False),
        (f"{LLAMA}, output tokens (late usage of November 2026)", -2_000_000, Decimal("-4.80"), True),
    ]
    assert december.net == Decimal("19.20")
    november.refresh_from_db()
    assert november.net == Decimal("12.00")


def test_usage_that_was_reported_under_a_wrong_name_blocks_its_invoice_until_it_is_amended(priced: Person) -> None:
    report(priced, DECEMBER, {**event("a", IN_NOVEMBER, 5_000_000), "offering": "lama"})
    with pytest.raises(UsageIsNotPriced, match="lama"):
        closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)
    report(priced, DECEMBER, {"id": "b", "offering": LLAMA, "usage": {"output": 5_000_000}, "amends": "a"})
    november = closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)
    assert printed(november) == [(f"{LLAMA}, output tokens", 5_000_000, Decimal("12.00"), False)]


def test_a_backfill_that_is_reverted_after_its_month_was_closed_is_given_back(priced: Person) -> None:
    may = backfills.create(priced.tenant.pk, "november")
    report(priced, DECEMBER, event("a", IN_NOVEMBER, 5_000_000), backfill_name="november")
    backfills.commit(may)
    rollup.fold_everything()
    closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)

    backfills.revert(may)
    report(priced, JANUARY, event("b", IN_DECEMBER, 10_000_000))
    december = closing.close(priced.tenant, date(2026, 12, 1), now=JANUARY)
    assert printed(december) == [
        (f"{LLAMA}, output tokens", 10_000_000, Decimal("24.00"), False),
        (f"{LLAMA}, output tokens (late usage of November 2026)", -5_000_000, Decimal("-12.00"), True),
    ]
