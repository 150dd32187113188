"""The README's first command."""

import re
import subprocess
from pathlib import Path

import pytest

from config.ports import free_ports
from tests.stories.copy_of_tokenworks import ROOT, command_line, environment

pytestmark = pytest.mark.story
TIMEOUT_S = 280


def test_the_demo_ends_with_a_table_and_an_invoice_for_each_tenant(home: Path) -> None:
    done = subprocess.run(
        command_line("demo", "--exit"),
        env=environment(home, free_ports(1)[0]) | {"COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("acme", "umbrella", "  simulated-70b-turbo  ", "margin", "unallocated", "curl", "from openai import"):
        assert word in done.stdout
    invoices = [Path(path) for path in re.findall(r"^\s+(/\S+\.pdf)$", done.stdout, re.MULTILINE)]
    assert [path.stem[-6:] for path in invoices] == ["000001", "000002"]
    assert all(path.read_bytes().startswith(b"%PDF-") for path in invoices)


def test_every_command_of_the_readme_exists() -> None:
    readme = (ROOT / "README.md").read_text()
    helped = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in set(re.findall(r"^make ([a-z-]+)", readme, re.MULTILINE)):
        assert f"make {target} " in helped
    known = subprocess.run(
        command_line("help", "--commands"), capture_output=True, text=True, check=True
    ).stdout.split()
    for command in set(re.findall(r"tokenworks ([a-z_]+)", readme)):
        assert command in known, command


def test_a_bare_make_prints_the_targets() -> None:
    said = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "make demo" in said
    assert "make test" in said
