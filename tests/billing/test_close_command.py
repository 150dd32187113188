"""`tokenworks close`: one month of one tenant, from the command line."""

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from billing.models import Invoice
from tests.billing.samples import YEAR, add_usage
from tests.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)


def close(*options: str) -> str:
    printed = io.StringIO()
    call_command("close", *options, stdout=printed)
    return printed.getvalue()


def test_it_prints_the_invoice_and_writes_its_pdf(priced: Person, tmp_path: Path) -> None:
    add_usage(priced.project, YEAR, "output", 1_000_000)
    printed = close("--tenant", "acme", "--month", "2026-01", "--pdf", str(tmp_path))
    number = Invoice.objects.get().number
    assert printed.startswith(f"{number}  2.86 USD  due ")
    assert (tmp_path / f"{number}.pdf").read_bytes().startswith(b"%PDF")
    again = close("--tenant", "acme", "--month", "2026-01").splitlines(keepends=True)
    assert again[0].startswith("This month was closed before.")
    assert again[1:] == printed.splitlines(keepends=True)[:1]


def test_a_folder_that_is_not_there_is_said_before_anything_is_closed(priced: Person, tmp_path: Path) -> None:
    add_usage(priced.project, YEAR, "output", 1_000_000)
    with pytest.raises(CommandError, match="is not a folder"):
        close("--tenant", "acme", "--month", "2026-01", "--pdf", str(tmp_path / "none"))
    assert not Invoice.objects.exists()


@pytest.mark.parametrize(
    ("tenant", "month", "reason"),
    [
        ("nobody", "2026-01", "no tenant 'nobody'"),
        ("acme", "2026-01", "^acme has no usage left"),
        ("acme", "2098-01", "^2098-01 ends at"),
        ("acme", "January", "'January' is not a month"),
    ],
)
def test_it_says_why_it_refuses(priced: Person, tenant: str, month: str, reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        close("--tenant", tenant, "--month", month)
