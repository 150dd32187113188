"""The files of an invoice: one content in all of them, kept as they were issued, seen by their own tenant only."""

import csv
import io
import json
import zlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pypdf
import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from facturx import get_facturx_xml_from_pdf

from billing import closing, credit_notes
from billing.documents import brand, exports, focus, issue
from billing.documents.content import Content
from billing.documents.files import FILES, file_of
from billing.documents.reading import content_of
from billing.documents.validation.validator import Validator
from billing.errors import DocumentIsInvalid, NoElectronicForm, ValidationDidNotRun
from billing.models import Brand, Delivery, Invoice, InvoiceDocument, InvoiceXml, Seller
from tenants.models import Project, Tenant
from tests.billing.contents import content as sample
from tests.billing.contents import credit_note, item
from tests.billing.samples import DECEMBER, NOVEMBER, add_usage
from tests.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="9" height="9" fill="#b4460f"/></svg>'


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


RED = b"\x00" + b"\xff\x00\x00\xff"  # One pixel, after the byte that says how its row is written.
HEADER = (1).to_bytes(4, "big") * 2 + bytes([8, 6, 0, 0, 0])
PNG = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", HEADER) + chunk(b"IDAT", zlib.compress(RED)) + chunk(b"IEND", b"")


@pytest.fixture
def invoice(priced: Person) -> Invoice:
    Tenant.objects.filter(pk=priced.tenant.pk).update(language="de")
    add_usage(priced.project, NOVEMBER, "request", 8_819)
    add_usage(priced.project, NOVEMBER, "input_uncached", 18_059_974)
    add_usage(priced.project, datetime(2026, 11, 20, 23, 30, tzinfo=UTC), "output", 245_896)
    return closing.close(Tenant.objects.get(pk=priced.tenant.pk), date(2026, 11, 1), now=DECEMBER)


def reader(invoice: Invoice) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(issue.pdf_of(invoice)), strict=True)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_pdf_carries_the_validated_xml_as_factur_x_says(invoice: Invoice) -> None:
    pdf = reader(invoice)
    assert pdf.attachments["factur-x.xml"] == [issue.cii_of(invoice)]
    [associated] = list(pdf.root_object["/AF"])  # type: ignore[call-overload]
    assert associated.get_object()["/AFRelationship"] == "/Alternative"
    metadata = pdf.xmp_metadata
    assert metadata is not None
    assert (metadata.pdfaid_part, metadata.pdfaid_conformance) == ("3", "B")
    written = pdf.root_object["/Metadata"].get_data().decode()  # type: ignore[attr-defined]
    assert written.count("urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#") == 2
    assert "<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel>" in written
    assert [page.extract_text() != "" for page in pdf.pages] == [True] * len(pdf.pages)


def test_a_program_of_the_buyers_finds_the_xml(invoice: Invoice) -> None:
    name, xml = get_facturx_xml_from_pdf(issue.pdf_of(invoice), check_xsd=True, check_schematron=False)
    assert (name, xml) == ("factur-x.xml", issue.cii_of(invoice))


def test_the_language_is_the_tenants_at_the_closing(invoice: Invoice) -> None:
    Tenant.objects.update(language="fr")
    text = " ".join(page.extract_text() for page in reader(Invoice.objects.get(pk=invoice.pk)).pages)
    text = " ".join(text.split())
    assert "Rechnung TW-2026-000001" in text
    assert "Eingabe-Token 10. November 2026 18.059.974 0,60 je 1 Mio. Token 10,84" in text
    assert "Zahlbetrag 13,60 USD" in text
    assert Invoice.objects.get(pk=invoice.pk).language == "de"


def test_a_credit_note_is_a_document_of_its_own(invoice: Invoice) -> None:
    note = credit_notes.give(invoice.pk, None, "Falscher Preis", now=DECEMBER)
    text = " ".join(" ".join(page.extract_text() for page in reader(note).pages).split())
    assert f"Rechnungskorrektur {note.number}" in text
    assert "Zur Rechnung TW-2026-000001 vom 1. Dezember 2026" in text
    assert "Gutgeschriebener Betrag 13,60 USD" in text
    assert b"<ram:TypeCode>381</ram:TypeCode>" in issue.cii_of(note)
    assert b"CreditNoteTypeCode" in issue.ubl_of(note)
    found = rows(file_of(note, "focus.csv").content.decode())
    assert sum(Decimal(row["BilledCost"]) for row in found) == Decimal("-13.60")


def test_what_was_issued_stays(invoice: Invoice) -> None:
    issue.document_of(invoice)
    issue.ubl_of(invoice)
    first = [bytes(row.xml) for row in InvoiceXml.objects.order_by("syntax")]
    issue.document_of(invoice)
    issue.ubl_of(invoice)
    assert [bytes(row.xml) for row in InvoiceXml.objects.order_by("syntax")] == first
    for change in (lambda: InvoiceXml.objects.update(sha256="0"), lambda: InvoiceXml.objects.all().delete()):
        with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
            change()


def test_a_document_made_again_has_the_same_bytes(invoice: Invoice, monkeypatch: pytest.MonkeyPatch) -> None:
    first = issue.pdf_of(invoice)
    Brand.objects.create(colour="#ff0000", created_at=DECEMBER + timedelta(seconds=1))  # For later invoices.
    monkeypatch.setattr(issue, "_keep_pdf", lambda invoice, pdf: InvoiceDocument(invoice=invoice, pdf=pdf))
    assert bytes(issue._issue(invoice).pdf) == first


def test_an_invalid_document_is_not_issued(invoice: Invoice, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = content_of(invoice)

    def wrong(invoice: Invoice) -> Content:
        return sample(list(whole.items), gross=whole.gross + 1)

    monkeypatch.setattr(issue, "content_of", wrong)
    with pytest.raises(DocumentIsInvalid, match="BR-CO-15"):
        issue.document_of(invoice)
    assert not InvoiceDocument.objects.exists()
    assert not InvoiceXml.objects.exists()


def test_a_document_that_was_not_validated_is_not_issued(invoice: Invoice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issue, "VALIDATOR", Validator(("false",)))
    with pytest.raises(ValidationDidNotRun):
        issue.document_of(invoice)
    assert not InvoiceDocument.objects.exists()
    assert not InvoiceXml.objects.exists()
    monkeypatch.undo()
    assert issue.document_of(invoice).pk


def test_nothing_is_mailed_without_a_valid_document(invoice: Invoice, monkeypatch: pytest.MonkeyPatch) -> None:
    from billing.delivery import deliver_pending

    with monkeypatch.context() as patch:
        patch.setattr(issue, "VALIDATOR", Validator(("false",)))
        assert deliver_pending(DECEMBER) == 0
    assert "ValidationDidNotRun" in Delivery.objects.get().last_error


def test_a_currency_that_the_standard_cannot_say_gets_a_pdf_without_xml(priced: Person, seller: Seller) -> None:
    from billing import publishing
    from billing.models import PriceBook
    from tests.billing.samples import PRICES, YEAR, new_version

    tenant = Tenant.objects.create(
        slug="kuwait",
        name="Kuwait",
        currency="KWD",
        legal_name="K",
        address_lines="Street 1\nKuwait City",
        country="KW",
        tax_rate_percent=0,
    )
    book = PriceBook.objects.create(slug="dinars", name="Dinars", currency="KWD")
    publishing.publish(new_version(book, YEAR, PRICES))
    publishing.agree(tenant, book, YEAR)
    project = Project.objects.create(tenant=tenant, slug="p", name="P")
    add_usage(project, NOVEMBER, "output", 1_000_000)
    invoice = closing.close(tenant, date(2026, 11, 1), now=DECEMBER)
    assert "2.400 KWD" in reader(invoice).pages[0].extract_text()
    assert list(reader(invoice).attachments) == []
    for xml_of in (issue.cii_of, issue.ubl_of):
        with pytest.raises(NoElectronicForm):
            xml_of(invoice)


def test_files_are_for_their_own_tenant(invoice: Invoice, priced: Person, mallory: Person) -> None:
    for name, kind in FILES.items():
        path = f"/api/invoices/{invoice.pk}/files/{name}/"
        mine = Client().get(path, headers={"Authorization": f"Bearer {priced.secret}"})
        assert (mine.status_code, mine["Content-Type"]) == (200, kind.content_type)
        assert mine["Content-Disposition"] == f'attachment; filename="TW-2026-000001-{name}"'
        assert mine.content == file_of(invoice, name).content
        assert Client().get(path, headers={"Authorization": f"Bearer {mallory.secret}"}).status_code == 404
        assert Client().get(path).status_code in {401, 403}
    unknown = Client().get(
        f"/api/invoices/{invoice.pk}/files/secrets.txt/", headers={"Authorization": f"Bearer {priced.secret}"}
    )
    assert unknown.status_code == 404


def test_the_annex_is_by_day_of_the_tenants_zone(invoice: Invoice) -> None:
    found = [(row["day"], row["unit"], row["quantity"]) for row in rows(file_of(invoice, "usage.csv").content.decode())]
    assert found == [
        ("2026-11-10", "input_uncached", "18059974"),
        ("2026-11-10", "request", "8819"),
        ("2026-11-21", "output", "245896"),  # Half past midnight in Berlin.
    ]


def test_json_says_what_the_page_says(invoice: Invoice) -> None:
    told = json.loads(file_of(invoice, "document.json").content)
    assert (told["net"], told["tax"], told["gross"], told["due"]) == ("11.43", "2.17", "13.6", "13.6")
    assert [line["amount"] for line in told["lines"]] == ["0", "10.84", "0.59"]
    assert sum(Decimal(tax["tax"]) for tax in told["taxes"]) == Decimal("2.17")


@pytest.mark.parametrize("document", [sample(), credit_note(), sample(prepaid=sample().gross)])
def test_rows_of_focus_sum_up_to_what_is_to_be_paid(document: Content) -> None:
    found = rows(exports.focus_csv(document))
    billed = sum(Decimal(row["BilledCost"]) for row in found)
    assert billed == (-document.due if document.is_credit_note else document.due)
    assert all(list(row) == focus.COLUMNS for row in found)
    assert {row["ChargeCategory"] for row in found} <= {"Usage", "Purchase", "Credit", "Tax"}
    for name in ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"):
        assert all(Decimal(row[name]).is_finite() for row in found)


def test_lines_sum_up_to_the_net_amount() -> None:
    document = sample()
    assert sum(Decimal(row["amount"]) for row in rows(exports.lines_csv(document))) == document.net


def test_a_spreadsheet_runs_nothing() -> None:
    document = sample(
        [item(1, "output", -5, None, "-3.50", project='=HYPERLINK("x")', offering="@model")], prepaid=Decimal(0)
    )
    [row] = rows(exports.lines_csv(document))
    assert (row["project"], row["model"], row["amount"]) == ('\'=HYPERLINK("x")', "'@model", "-3.5")


@pytest.mark.parametrize("file", [SVG.encode(), PNG])
def test_logos_are_svg_or_png(file: bytes) -> None:
    assert brand.logo_svg(file).startswith("<svg")


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"GIF89a", "neither a PNG nor an SVG"),
        (b"\xff\xd8\xff", "neither a PNG nor an SVG"),
        (b"<svg><script>1</script></svg>", "scripts"),
        (SVG.replace("<rect", '<image href="file:///etc/passwd"/><rect').encode(), "reaches for files"),
        (b"<svg", "cannot be drawn"),
        (PNG[:-1], "neither a PNG nor an SVG"),
    ],
)
def test_what_is_no_logo_is_refused_with_its_reason(file: bytes, reason: str) -> None:
    with pytest.raises(brand.NotALogo, match=reason):
        brand.logo_svg(file)


def test_a_document_has_the_look_of_its_day_and_language() -> None:
    for language, colour in (("", "#111111"), ("de", "#222222"), ("fr", "#333333")):
        Brand.objects.create(language=language, colour=colour)
    now = timezone.now()
    assert brand.brand_of("de", now).colour == "#222222"
    assert brand.brand_of("ja", now).colour == "#111111"
    assert brand.brand_of("de", NOVEMBER.replace(year=2020)).colour == "#17486b"
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        Brand.objects.update(colour="#000000")


def test_an_operator_enters_a_look(admin_client: Client) -> None:
    logo = io.BytesIO(SVG.encode())
    logo.name = "logo.svg"
    given = {"language": "", "colour": "#123456", "closing_words": "Thanks.", "logo": logo}
    answer = admin_client.post("/admin/billing/brand/add/", given)
    assert answer.status_code == 302
    assert Brand.objects.get().logo_svg == SVG
    shown = admin_client.get(f"/admin/billing/brand/{Brand.objects.get().pk}/change/")
    assert (shown.status_code, b"#123456" in shown.content) == (200, True)
    bad = io.BytesIO(b"GIF89a")
    bad.name = "logo.gif"
    refused = admin_client.post("/admin/billing/brand/add/", given | {"logo": bad})
    assert b"neither a PNG nor an SVG" in refused.content
