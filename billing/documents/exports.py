"""A document as rows: CSV for spreadsheets, JSON for programs, FOCUS 1.2 for those who compare clouds. Pure."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from billing.documents.content import Content, Item, Tax
from billing.documents.focus import COLUMNS, focus_rows
from billing.documents.usage import Used

FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")
LINE_COLUMNS = [
    "number", "position", "kind", "month", "project", "model", "service_tier", "unit", "description", "first_day",
    "last_day", "quantity", "unit_price", "per", "amount", "currency", "tax_category", "tax_rate_percent",
]  # fmt: skip
ANNEX_COLUMNS = ["day", "project_id", "model", "service_tier", "unit", "quantity"]


def lines_csv(content: Content) -> str:
    """The printed lines, one a row; their amounts sum up to the net amount."""
    return _csv(LINE_COLUMNS, (_line(content, item) for item in content.items))


def annex_csv(used: Iterable[Used]) -> str:
    """What was used, by day of the tenant's time zone, project, model, tier and unit."""
    return _csv(ANNEX_COLUMNS, (_used(row) for row in used))


def focus_csv(content: Content) -> str:
    """Rows of FOCUS 1.2, whose `BilledCost` sums up to what is to be paid."""
    return _csv(COLUMNS, focus_rows(content))


def whole_json(content: Content, used: Sequence[Used]) -> bytes:
    """The document with its lines, taxes and annex; amounts are texts, so that no reader makes floats of them."""
    lines = [_line(content, item) for item in content.items]
    taxes = [_tax(tax) for tax in content.taxes]
    head = {
        "kind": "credit_note" if content.is_credit_note else "invoice",
        "number": content.number,
        "corrects": content.corrects or None,
        "reason": content.reason or None,
        "issued_on": content.issued_on,
        "due_on": content.due_on,
        "first_day": content.first_day,
        "last_day": content.last_day,
        "time_zone": content.time_zone,
        "currency": content.currency,
        "seller": content.seller,
        "buyer": content.buyer,
    }
    sums = {name: getattr(content, name) for name in ("net", "tax", "gross", "prepaid", "due")}
    whole = head | {"lines": lines, "taxes": taxes} | {name: _text(value) for name, value in sums.items()}
    return msgspec.json.encode(whole | {"usage": [_used(row) for row in used]})


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    written = io.StringIO()
    writer = csv.DictWriter(written, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return written.getvalue()


def _cell(value: object) -> object:
    """A text that a spreadsheet would run as a formula gets an apostrophe; amounts and quantities stay as they are."""
    if isinstance(value, str) and value.startswith(FORMULA_BEGINNINGS) and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdecimal()


def _text(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _line(content: Content, item: Item) -> dict[str, object]:
    return {
        "number": content.number,
        "position": item.position,
        "kind": item.kind,
        "month": f"{item.month:%Y-%m}",
        "project": item.project,
        "model": item.model,
        "service_tier": item.service_tier,
        "unit": item.unit,
        "description": item.description,
        "first_day": item.first_day.isoformat(),
        "last_day": item.last_day.isoformat(),
        "quantity": item.quantity,
        "unit_price": _text(item.price.amount.decimal) if item.price else "",
        "per": item.price.per if item.price else "",
        "amount": _text(item.amount),
        "currency": content.currency,
        "tax_category": item.tax_category,
        "tax_rate_percent": _text(item.tax_rate_percent),
    }


def _tax(tax: Tax) -> dict[str, object]:
    return {
        "category": tax.category,
        "rate_percent": _text(tax.rate_percent),
        "net": _text(tax.net),
        "tax": _text(tax.tax),
        "reason": tax.reason,
    }


def _used(row: Used) -> dict[str, object]:
    return {
        "day": row.day.isoformat(),
        "project_id": row.project_id,
        "model": f"{row.offering}:{row.grade}" if row.grade else row.offering,
        "service_tier": row.service_tier,
        "unit": row.unit,
        "quantity": row.quantity,
    }
