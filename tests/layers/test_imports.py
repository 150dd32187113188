"""Each import rule is broken on purpose, in a copy of the packages, and must be reported."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("config", "gateway", "billing", "inference", "providers", "metering", "tenants", "money")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).parent / "lint-imports"),
        "--no-cache",
        "--config",
        str(folder / "pyproject.toml"),
    ]
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_rules_hold_as_the_code_stands(copy: Path) -> None:
    report = lint(copy)
    assert report.returncode == 0, report.stdout
    assert "0 broken" in report.stdout


LOWER_AND_HIGHER = list(zip(PACKAGES[1:], PACKAGES[:-1], strict=True))


@pytest.mark.parametrize(
    ("module", "line", "rule"),
    [
        *((f"{lower}/__init__.py", f"import {higher}", "Imports go down only") for lower, higher in LOWER_AND_HIGHER),
        ("gateway/server.py", "import django", "The data plane loads no Django"),
        ("gateway/server.py", "import rest_framework", "The data plane loads no Django"),
        ("gateway/relay.py", "import celery", "The data plane loads no Django"),
        ("gateway/server.py", "import tenants.models", "The data plane loads no Django"),
        ("metering/usage.py", "import psycopg", "Arithmetic and formats know no database"),
        ("money/amount.py", "import django", "Arithmetic and formats know no database"),
        ("billing/rating.py", "import billing.models", "Arithmetic and formats know no database"),
        ("inference/cost.py", "import socket", "Arithmetic and formats know no database"),
    ],
)
def test_a_broken_import_rule_is_reported(copy: Path, module: str, line: str, rule: str) -> None:
    path = copy / module
    path.write_text(f"{path.read_text()}\n{line}\n")
    report = lint(copy)
    assert report.returncode != 0
    broken = [row for row in report.stdout.splitlines() if row.endswith("BROKEN")]
    assert any(rule in row for row in broken), report.stdout
