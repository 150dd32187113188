"""What the demo prints at its end: the table of margins, the documents, the addresses, and something to paste."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from billing.margin import Margin
from config.demo.rows import DemoTenant
from inference.models import PoolHour
from money.amount import Money


def shown(amount: Money) -> str:
    """Six decimals: a demo's hour of traffic earns fractions of a cent."""
    return f"{amount.decimal:,.6f} {amount.currency}"


def margins(rows: Iterable[Margin]) -> Table:
    table = Table(title="What was made and what it cost to make (simulated hardware)")
    for column in ("tenant", "model", "requests", "input", "output", "revenue", "cost", "margin"):
        table.add_column(column, justify="left" if column in ("tenant", "model") else "right")
    for row in rows:
        counts = (f"{count:,}" for count in (row.requests, row.input_tokens, row.output_tokens))
        table.add_row(row.tenant, row.offering, *counts, shown(row.revenue), shown(row.cost), shown(row.margin))
    return table


def pool_hours(rows: Iterable[PoolHour]) -> Table:
    """Busy time is what the tokens above cost; idle time is what a real factory would fill."""
    table = Table(title="Each pool's hour: what it cost, and how much of that tokens carry")
    for column in ("hour (UTC)", "pool", "cost", "allocated", "unallocated"):
        table.add_column(column, justify="left" if column in ("hour (UTC)", "pool") else "right")
    for row in rows:
        amounts = (shown(Money.of(part, row.currency)) for part in (row.cost, row.allocated, row.unallocated))
        table.add_row(f"{row.hour_start:%Y-%m-%d %H:%M}", f"{row.pool} ({row.pool.hardware})", *amounts)
    return table


def documents(console: Console, paths: Sequence[Path]) -> None:
    console.print("\nInvoices:")
    for path in paths:
        console.print(f"  {path}", soft_wrap=True)


def addresses(console: Console, base_url: str, tenant: DemoTenant, model: str, login: tuple[str, str]) -> None:
    """Where to go on from here. The key works as long as the demo's data is kept."""
    console.print(f"\nOffice   {base_url}/admin/   user {login[0]}, password {login[1]}")
    console.print(f"Gateway  {base_url}/v1   key {tenant.secret}\n", soft_wrap=True)
    console.print(CURL.format(url=base_url, key=tenant.secret, model=model), markup=False, soft_wrap=True)
    console.print(PYTHON.format(url=base_url, key=tenant.secret, model=model), markup=False, soft_wrap=True)


CURL = """\
curl {url}/v1/chat/completions -H 'Authorization: Bearer {key}' \\
  -H 'Content-Type: application/json' \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}], "max_tokens": 16}}'

curl '{url}/api/usage/?group_by=offering' -H 'Authorization: Bearer {key}'
"""
PYTHON = """\
from openai import OpenAI

client = OpenAI(base_url="{url}/v1", api_key="{key}")
stream = client.chat.completions.create(
    model="{model}", messages=[{{"role": "user", "content": "Hello"}}], max_tokens=16, stream=True
)
for event in stream:
    print(event.choices[0].delta.content or "", end="")
"""
