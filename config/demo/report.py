"""What the demo prints at its end: the table of margins, the documents, the addresses, and something to paste."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from billing.margin import Margin
from config.demo.rows import CURRENCY, DemoTenant
from inference.models import PoolHour
from money.amount import Money


def shown(amount: Money) -> str:
    """Six decimals: the smallest of a demo's figures are fractions of a cent."""
    return f"{amount.decimal:,.6f}"


def table_of(title: str, names: Sequence[str], figures: Sequence[str]) -> Table:
    """A table that fits a terminal of 80 columns: names to the left, figures to the right."""
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name)
    for figure in figures:
        table.add_column(figure, justify="right")
    return table


def margins(rows: Iterable[Margin]) -> Table:
    """Tokens, revenue, cost and margin by tenant and model."""
    figures = ("requests", "input", "output", "revenue", "cost", "margin")
    table = table_of(f"What was made, sold and left over, in {CURRENCY} (simulated)", ["tenant, model"], figures)
    table.caption = "Revenue here is exact. An invoice rounds each of its lines to cents, once."
    for tenant, of_tenant in groupby(rows, key=lambda row: row.tenant):
        table.add_row(tenant, style="bold")
        for row in of_tenant:
            counts = (f"{count:,}" for count in (row.requests, row.input_tokens, row.output_tokens))
            amounts = (shown(amount) for amount in (row.revenue, row.cost, row.margin))
            table.add_row(f"  {row.offering}", *counts, *amounts)
    return table


def pool_hours(rows: Iterable[PoolHour]) -> Table:
    """Busy time is what the tokens above cost; idle time is what a real factory would fill."""
    title = f"What each pool's hour cost, and what of it tokens carry, in {CURRENCY}"
    table = table_of(title, ["hour", "simulated pool"], ("cost", "allocated", "unallocated"))
    table.caption = "Of all tenants so far; the running hour counts as a whole one."
    for row in rows:
        amounts = (shown(Money.of(part, row.currency)) for part in (row.cost, row.allocated, row.unallocated))
        table.add_row(f"{row.hour_start:%H:%M} UTC", f"{row.pool.devices} x {row.pool.hardware.device}", *amounts)
    return table


def documents(console: Console, paths: Sequence[Path]) -> None:
    console.print("\nInvoices:")
    for path in paths:
        console.print(f"  {path}", soft_wrap=True)


def addresses(console: Console, base_url: str, tenant: DemoTenant, model: str, login: tuple[str, str]) -> None:
    """Where to go on from here. The key works as long as the demo's data is kept."""
    console.print(f"\nOffice   {base_url}/admin/   user {login[0]}, password {login[1]}", highlight=False)
    console.print(f"Gateway  {base_url}/v1   key {tenant.secret}\n", highlight=False, soft_wrap=True)
    for text in (CURL, PYTHON):  # As they are, for they are to be pasted.
        filled = text.format(url=base_url, key=tenant.secret, model=model)
        console.print(filled, markup=False, highlight=False, soft_wrap=True)


CURL = """\
curl {url}/v1/chat/completions -H 'Authorization: Bearer {key}' \\
  -H 'Content-Type: application/json' \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}], "max_tokens": 16}}'

curl '{url}/api/usage/?group_by=offering&billed=true' -H 'Authorization: Bearer {key}'
"""
PYTHON = """\
# .venv/bin/python has the SDK
from openai import OpenAI

client = OpenAI(base_url="{url}/v1", api_key="{key}")
stream = client.chat.completions.create(
    model="{model}", messages=[{{"role": "user", "content": "Hello"}}], max_tokens=16, stream=True
)
for event in stream:
    print(event.choices[0].delta.content or "", end="")
"""
