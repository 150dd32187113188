"""Whoever is woken by an alert finds in the documents what to do."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

from config import settings

PACKAGES = ("metering", "inference", "billing", "gateway", "providers", "tenants", "config")


def kinds_raised() -> set[str]:
    """The first argument of every call of raise_alert in the product."""
    files = (path for package in PACKAGES for path in (settings.BASE_DIR / package).rglob("*.py"))
    return {kind for path in files if "raise_alert(" in path.read_text() for kind in kinds_in(path)}


def kinds_in(path: Path) -> Iterator[str]:
    module = ".".join(path.relative_to(settings.BASE_DIR).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("raise_alert"):
            first = node.args[0]
            if isinstance(first, ast.Constant):
                yield str(first.value)
            else:  # A constant of the module; a variable stands for all of its KINDS.
                name = ast.unparse(first)
                found = getattr(importlib.import_module(module), name if name.isupper() else "KINDS")
                yield from [found] if isinstance(found, str) else found


def test_what_to_do_at_each_kind_of_alert_stands_in_operations() -> None:
    kinds = kinds_raised()
    assert {"journal_gap", "shipping_late", "engine_drift", "requests_without_event"} <= kinds
    rows = [line for line in (settings.BASE_DIR / "docs/operations.md").read_text().splitlines() if line[:2] == "| "]
    first_cells = " ".join(row.split(" | ")[0] for row in rows)
    assert {kind for kind in kinds if f"`{kind}`" not in first_cells} == set()
