"""The invoice as a page: complete, the same every time, and deaf to what its text says."""

import io
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pypdf
import pytest
from django.db import IntegrityError, transaction

from billing import closing
from billing.documents.invoice_pdf import InvoiceText, invoice_pdf
from billing.documents.invoice_text import invoice_text
from billing.documents.issue import document_of, pdf_of
from billing.documents.reading import content_of, used_by_day
from billing.errors import TextCannotBeSet
from billing.models import Invoice, InvoiceDocument
from tenants.models import Project, Tenant
from tests.billing.samples import DECEMBER, LLAMA, NOVEMBER, OCTOBER_LAST, add_usage
from tests.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)

CREATED_AT = datetime(2026, 12, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Pages:
    """The text of a PDF as a reader sees it, page by page, without the places where names may break."""

    texts: list[str]

    @classmethod
    def of(cls, pdf: bytes) -> "Pages":
        pages = pypdf.PdfReader(io.BytesIO(pdf)).pages
        return cls([" ".join(page.extract_text().replace("\u200b", "").split()) for page in pages])

    @property
    def all(self) -> str:
        return " ".join(self.texts)


def text_of(invoice: Invoice) -> InvoiceText:
    return invoice_text(content_of(invoice), used_by_day(invoice))


@pytest.fixture
def invoice(priced: Person) -> Invoice:
    add_usage(priced.project, NOVEMBER, "request", 8_819)
    add_usage(priced.project, NOVEMBER, "input_uncached", 18_059_974)
    add_usage(priced.project, NOVEMBER, "output", 245_896)
    return closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)


PARTIES = [
    "Tokenfabrik Betriebsgesellschaft mbH",
    "Große Bleichen 12 20354 Hamburg Germany",
    "Tax number DE811907980",
    "Acme GmbH Musterstraße 1 10115 Berlin Germany",
    "Tax number DE136695976",
]
FACTS = [
    "Invoice TW-2026-000001",
    "Issue date 1 December 2026",
    "Due date 15 December 2026",
    "Service period 1 \u2013 30 November 2026",
    "Page 1 of 1",
]
FIGURES = [
    "Requests 10 November 2026 8,819 0.00 per request 0.00",
    "Input tokens 10 November 2026 18,059,974 0.60 per 1M tokens 10.84",
    "Output tokens 10 November 2026 245,896 2.40 per 1M tokens 0.59",
    "Net amount 11.43 USD",
    "Tax 19 % 2.17 USD",
    "Amount due 13.60 USD",
    f"{LLAMA} 8,819 18,059,974 245,896",
]
PAYMENT = [
    "Please pay 13.60 USD by 15 December 2026, quoting TW-2026-000001.",
    "IBAN: DE89 3704 0044 0532 0130 00",
]


@pytest.mark.parametrize("part", [PARTIES, FACTS, FIGURES, PAYMENT])
def test_a_finance_department_finds_everything_on_one_page(invoice: Invoice, part: list[str]) -> None:
    page = Pages.of(pdf_of(invoice)).all
    assert [words for words in part if words not in page] == []


def test_the_same_invoice_gives_the_same_bytes(invoice: Invoice) -> None:
    text = text_of(invoice)
    assert invoice_pdf(text, CREATED_AT) == invoice_pdf(text, CREATED_AT)
    assert b"pdfaid" in invoice_pdf(text, CREATED_AT)


def test_a_document_is_rendered_once_and_kept(invoice: Invoice) -> None:
    first = document_of(invoice)
    assert document_of(invoice).pk == first.pk
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        InvoiceDocument.objects.update(sha256="0" * 64)
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        InvoiceDocument.objects.all().delete()


EVIL = '#panic() *b* _i_ $x$ `c` \\ // /* = @x "quoted"'


def test_what_a_tenant_is_called_is_printed_and_never_run(priced: Person) -> None:
    evil = {"legal_name": EVIL, "address_lines": f"{EVIL}\n10115 Berlin", "tax_rate_percent": 0, "tax_note": EVIL}
    Tenant.objects.filter(pk=priced.tenant.pk).update(**evil)
    Project.objects.filter(pk=priced.project.pk).update(name=EVIL)
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    invoice = closing.close(Tenant.objects.get(pk=priced.tenant.pk), date(2026, 11, 1), now=DECEMBER)
    assert Pages.of(pdf_of(invoice)).all.count("#panic()") == 4


def test_an_early_closing_says_until_when_usage_is_in(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    noon = datetime(2026, 11, 20, 11, 0, tzinfo=UTC)
    invoice = closing.close(priced.tenant, date(2026, 11, 1), early=True, now=noon)
    text = Pages.of(pdf_of(invoice)).all
    assert "Closed early: usage recorded until 20 November 2026, 12:00 (Europe/Berlin)." in text
    assert "Service period 1 \u2013 20 November 2026" in text


def test_late_usage_is_named_with_its_month(priced: Person) -> None:
    add_usage(priced.project, OCTOBER_LAST, "output", 1_000_000)
    closing.close(priced.tenant, date(2026, 10, 1), now=NOVEMBER)
    add_usage(priced.project, OCTOBER_LAST, "output", 1_000_000)
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    invoice = closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)
    assert "Project Default, late usage of October 2026" in Pages.of(pdf_of(invoice)).all


def test_many_lines_go_over_pages_under_a_repeated_heading(priced: Person) -> None:
    for number in range(30):
        project = Project.objects.create(tenant=priced.tenant, slug=f"p{number}", name=f"Übersetzung {number:02d}")
        add_usage(project, NOVEMBER, "input_uncached", 1_000_000)
        add_usage(project, NOVEMBER, "output", 1_000_000)
    pages = Pages.of(pdf_of(closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)))
    assert len(pages.texts) == 3
    for position, page in enumerate(pages.texts, start=1):
        assert f"Page {position} of 3" in page
        assert "Pos. Description Quantity Unit price Amount (USD)" in page
    assert all(f"Project Übersetzung {number:02d}" in pages.all for number in range(30))


def test_a_name_that_no_font_can_show_is_refused_and_not_printed_as_boxes(invoice: Invoice) -> None:
    invoice.buyer["legal_name"] = "Acme \U0010fffd"
    with pytest.raises(TextCannotBeSet, match="could not be displayed"):
        invoice_pdf(text_of(invoice), CREATED_AT)
