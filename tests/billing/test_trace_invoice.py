"""A trace of requests gives the invoices that a spreadsheet gives.

Its plan has graduated prices, an allowance and a commitment; the tenant has a wallet and is taxed with 19 %.
"""

import csv
import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from billing import closing, publishing, wallets
from billing.models import (
    IncludedUsage,
    Invoice,
    InvoiceLine,
    PlanTerms,
    PriceBook,
    PriceBookVersion,
    Rate,
    Seller,
    WalletCredit,
)
from metering import rollup
from metering.ingest import ingest
from metering.ingest_formats.reading import read
from metering.reporter import Reporter
from tenants.models import Project, Tenant
from tests.billing.samples import DECEMBER, LLAMA, YEAR
from tests.billing.spreadsheet import (
    Agreed,
    Line,
    Request,
    Tiers,
    Totals,
    grant_line,
    month_lines,
    read_trace,
    totals,
    what_lacks,
)
from tests.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)

AZURE = Path(__file__).parents[3] / "shared" / "traces" / "azure_llm_2023_code.csv"
REPORTED = datetime(2026, 11, 17, 12, 0, tzinfo=UTC)
JANUARY = datetime(2027, 1, 1, 8, 0, tzinfo=UTC)
AGREED = Agreed(
    tiers={
        "input_uncached": Tiers(10_000_000, Fraction("0.60"), Fraction("0.4125")),
        "output": Tiers(100_000, Fraction("2.40"), Fraction("1.7775")),
    },
    included={"input_uncached": 1_000_000, "output": 33_333},
    commitment=Fraction("25.00"),
    tax_percent=19,
    granted=Fraction("3.00"),
    bought=Fraction("8.00"),
)


def sample(folder: Path) -> Path:
    """A trace of our own of 50 minutes, which reaches both tiers."""
    path = folder / "sample.csv"
    start = datetime(2023, 11, 16, 18, 17, 3)  # noqa: DTZ001 - traces name no zone; they are UTC.
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["TIMESTAMP", "ContextTokens", "GeneratedTokens"])
        for number in range(300):
            at = start + timedelta(seconds=10 * number, microseconds=123_457)
            rows.writerow([f"{at:%Y-%m-%d %H:%M:%S.%f}0", 20_000 + number * 7_919 % 90_000, 300 + number * 613 % 1_200])
    return path


@pytest.fixture(params=["a sample of our own", "the trace of Azure"])
def trace(request: pytest.FixtureRequest, tmp_path: Path) -> list[Request]:
    if request.param == "a sample of our own":
        return read_trace(sample(tmp_path))
    if not AZURE.exists():
        pytest.skip(f"{AZURE} is not here: the trace of Azure is no part of the product.")
    return read_trace(AZURE)


@pytest.fixture
def acme(alice: Person, seller: Seller, book: PriceBook) -> Person:
    """Alice's tenant, with a second project, and all that was agreed to."""
    Tenant.objects.filter(pk=alice.tenant.pk).update(prepaid=True)
    alice.tenant.refresh_from_db()
    Project.objects.create(tenant=alice.tenant, slug="research", name="Research")
    publish(book)
    terms = PlanTerms.objects.create(
        name="Team", currency="USD", commitment=as_decimal(AGREED.commitment), commitment_months=2
    )
    for unit, quantity in AGREED.included.items():
        IncludedUsage.objects.create(terms=terms, offering=LLAMA, unit=unit, quantity=quantity)
    publishing.agree(alice.tenant, book, datetime(2026, 10, 31, 23, 0, tzinfo=UTC), terms)
    for kind, amount in (("granted", AGREED.granted), ("bought", AGREED.bought)):
        wallets.pay_in(WalletCredit(tenant=alice.tenant, kind=kind, amount=as_decimal(amount), note=kind))
    return alice


def publish(book: PriceBook) -> None:
    version = PriceBookVersion.objects.create(price_book=book, valid_from=YEAR)
    for unit, tiers in AGREED.tiers.items():
        Rate.objects.create(
            version=version,
            offering=LLAMA,
            unit=unit,
            kind="graduated",
            amount=as_decimal(tiers.low),
            per=1_000_000,
            above=[tiers.step],
            amounts_above=[as_decimal(tiers.high)],
        )
    for unit in ("input_cached", "reasoning"):
        Rate.objects.create(version=version, offering=LLAMA, unit=unit, amount=1, per=1_000_000)
    publishing.publish(version)


def as_decimal(amount: Fraction) -> Decimal:
    return Decimal(amount.numerator) / Decimal(amount.denominator)


def report(acme: Person, requests: list[Request], first: int = 0) -> None:
    """Report these requests as events of the tenant's own gateway, and fold them."""
    events = (
        {
            "source": "own-gateway",
            "id": f"r{first + number}",
            "time": request.at.isoformat(),
            "offering": LLAMA,
            "project": ("default", "research")[request.project],
            "usage": {"input_uncached": request.input, "output": request.output},
        }
        for number, request in enumerate(requests)
    )
    body = b"\n".join(json.dumps(event).encode() for event in events)
    found = read(body, "application/x-ndjson", {}, tenant=acme.tenant.slug, events_max=10_000)
    ingest(Reporter(acme.tenant.pk, acme.tenant.slug, acme.project.pk, acme.key.pk), found, now=REPORTED)
    rollup.fold_everything()


def lines_of(invoice: Invoice) -> list[Line]:
    return [as_in_a_spreadsheet(line) for line in invoice.lines.all()]


def as_in_a_spreadsheet(line: InvoiceLine) -> Line:
    project = {"": -1, "Research": 1}.get(line.project, 0)
    price = Fraction(line.unit_amount) * 1_000_000 / line.per if line.unit else Fraction(0)
    return Line(line.kind, project, line.unit, line.quantity, price, Fraction(line.amount))


def totals_of(invoice: Invoice) -> Totals:
    return Totals(*map(Fraction, (invoice.net, invoice.tax, invoice.gross, invoice.prepaid)))


def sum_of(lines: list[Line]) -> Fraction:
    return sum((line.amount for line in lines), Fraction(0))


def test_the_invoices_of_a_trace_are_those_of_a_spreadsheet(acme: Person, trace: list[Request]) -> None:
    report(acme, trace)
    november = closing.close(acme.tenant, date(2026, 11, 1), now=DECEMBER)
    charged = month_lines(trace, AGREED)
    lines = [*charged, *grant_line(charged, AGREED.granted)]
    assert Counter(lines_of(november)) == Counter(lines)
    due = totals(lines, AGREED, AGREED.bought)
    assert totals_of(november) == due

    december = closing.close(acme.tenant, date(2026, 12, 1), now=JANUARY)
    lines = what_lacks(AGREED, sum_of(charged))
    assert lines_of(december) == lines
    assert totals_of(december) == totals(lines, AGREED, AGREED.bought - due.prepaid)


def test_a_trace_that_comes_in_two_parts_costs_in_all_what_it_costs_at_once(acme: Person, trace: list[Request]) -> None:
    """The last third of the requests is reported when November is closed already."""
    late = len(trace) * 2 // 3
    report(acme, trace[:late])
    november = closing.close(acme.tenant, date(2026, 11, 1), now=DECEMBER)
    report(acme, trace[late:], first=late)
    december = closing.close(acme.tenant, date(2026, 12, 1), now=JANUARY)
    assert {line.kind for line in december.lines.all() if line.is_correction} >= {"usage"}

    granted = november.lines.filter(kind="grant") | december.lines.filter(kind="grant")
    assert sum(line.amount for line in granted) == -as_decimal(AGREED.granted)
    charged = sum_of(month_lines(trace, AGREED))
    asked = charged + sum_of(what_lacks(AGREED, charged))
    assert Fraction(november.net + december.net) == asked - AGREED.granted
    of_november = InvoiceLine.objects.filter(month="2026-11-01").exclude(kind="grant")
    assert sum(Fraction(line.amount) for line in of_november) == charged
