"""What each part of a copy says was used, made and charged; read by HTTP and plain SQL, never by the product's code."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.stories.copy_of_tokenworks import Copy, StoryTenant
from tests.stories.trace import Totals

# The demo's price book, in USD per million tokens.
PRICES = {
    ("simulated-70b", "input_uncached"): Decimal("0.59"),
    ("simulated-70b", "output"): Decimal("0.79"),
    ("simulated-70b-turbo", "input_uncached"): Decimal("0.90"),
    ("simulated-70b-turbo", "output"): Decimal("1.20"),
}


def by_events(copy: Copy) -> Totals:
    """The sum over billed events."""
    columns = "count(*), coalesce(sum(input_uncached), 0), coalesce(sum(output), 0)"
    [(requests, read, written)] = copy.sql(f"SELECT {columns} FROM metering_event WHERE billed")
    return Totals(requests, int(read), int(written))


def by_buckets(copy: Copy) -> Totals:
    """The sum over billed buckets."""
    rows = dict(copy.sql("SELECT unit, sum(quantity)::bigint FROM metering_bucket WHERE billed GROUP BY unit"))
    return Totals(rows.get("request", 0), rows.get("input_uncached", 0), rows.get("output", 0))


def by_usage_api(copy: Copy, tenant: StoryTenant) -> Totals:
    """What the tenant reads in the usage API about this month's billed usage."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    bounds = f"from={today - timedelta(days=1):%Y-%m-%dT%H:%MZ}&to={today + timedelta(days=2):%Y-%m-%dT%H:%MZ}"
    [total] = copy.api(f"/api/usage/?{bounds}&billed=true", tenant.secret)["results"]
    return Totals(total["requests"], total["input_tokens"], total["output_tokens"])


def close_month(copy: Copy, tenant: StoryTenant) -> Any:
    """Close the running month early and read the invoice through the API, as the tenant sees it."""
    closed = copy.command("close", "--tenant", tenant.slug, "--month", copy.month, "--early")
    assert closed.returncode == 0, closed.stderr
    [invoice] = copy.api("/api/invoices/", tenant.secret)["results"]
    return copy.api(f"/api/invoices/{invoice['id']}/", tenant.secret)


def by_invoice(invoice: Any) -> Totals:
    """The quantities of the invoice's lines."""
    units = [(line["unit"], line["quantity"]) for line in invoice["lines"]]
    return Totals(
        *(sum(count for unit, count in units if unit == wanted) for wanted in ("request", "input_uncached", "output"))
    )


def expected_amount(model: str, unit: str, quantity: int) -> Decimal:
    """Tokens times rate, rounded once to cents."""
    if unit == "request":
        return Decimal("0.00")
    exact = quantity * PRICES[model, unit] / 1_000_000
    return exact.quantize(Decimal("0.01"), ROUND_HALF_UP)


def assert_priced_exactly(invoice: Any, tax_percent: Decimal) -> None:
    """Each line is its quantity times its rate, the net is the sum of the lines, and the tax is that of the net."""
    amounts = []
    for line in invoice["lines"]:
        amount = Decimal(line["amount"])
        assert amount == expected_amount(line["offering"], line["unit"], line["quantity"]), line
        amounts.append(amount)
    net, tax, gross = (Decimal(invoice[name]) for name in ("net", "tax", "gross"))
    assert net == sum(amounts)
    assert tax == (net * tax_percent / 100).quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert gross == net + tax


@dataclass(frozen=True)
class PoolHour:
    """A pool's hour: what it cost, what its tokens carry, what none does, and the sum of the shares."""

    cost: Decimal
    allocated: Decimal
    unallocated: Decimal
    shares: Decimal


def pool_hours(copy: Copy) -> list[PoolHour]:
    rows = copy.sql(
        "SELECT h.cost, h.allocated, h.unallocated,"
        " coalesce((SELECT sum(s.cost) FROM inference_costshare s WHERE s.pool_hour_id = h.id), 0)"
        " FROM inference_poolhour h"
    )
    return [PoolHour(*row) for row in rows]
