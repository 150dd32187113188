"""The documents of a final invoice or credit note: made once, found valid, kept, and never made again.

The XML comes first, and is validated in a process of its own. Only a valid one goes into the PDF, and only then is
there a PDF. Two that issue at once give the same bytes, and the first stays.
"""

import hashlib

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from billing.documents.brand import brand_of, look_of
from billing.documents.content import Content
from billing.documents.einvoice import Syntax, cii, ubl
from billing.documents.en16931 import can_say, terms_of
from billing.documents.factur_x import marked
from billing.documents.invoice_pdf import invoice_pdf
from billing.documents.invoice_text import invoice_text
from billing.documents.reading import content_of, used_by_day
from billing.documents.validation.validator import VALIDATOR
from billing.errors import InvoiceIsADraft, NoElectronicForm
from billing.models import Invoice, InvoiceDocument, InvoiceXml


def document_of(invoice: Invoice) -> InvoiceDocument:
    """The PDF of a final invoice, with its XML inside, made now if it was not before.

    Raises `InvoiceIsADraft` and `DocumentRefused`.
    """
    found = InvoiceDocument.objects.filter(invoice=invoice).first()
    return found or _issue(invoice)


def pdf_of(invoice: Invoice) -> bytes:
    """The bytes of a final invoice's PDF."""
    return bytes(document_of(invoice).pdf)


def cii_of(invoice: Invoice) -> bytes:
    """The XML that is inside the PDF. Raises `NoElectronicForm` where the currency cannot be said in it."""
    document_of(invoice)
    found = InvoiceXml.objects.filter(invoice=invoice, syntax=InvoiceXml.Syntax.CII).first()
    if found is None:
        raise NoElectronicForm
    return bytes(found.xml)


def ubl_of(invoice: Invoice) -> bytes:
    """The document for Peppol, made now if it was not before. Raises as `cii_of` does."""
    found = InvoiceXml.objects.filter(invoice=invoice, syntax=InvoiceXml.Syntax.UBL).first()
    return bytes((found or _issue_ubl(invoice)).xml)


def _issue(invoice: Invoice) -> InvoiceDocument:
    content = _content(invoice)
    used = [] if content.is_credit_note else used_by_day(invoice)
    brand = brand_of(content.language, content.finalised_at)
    text = invoice_text(content, used, brand.closing_words)
    if not can_say(content.currency):
        return _keep_pdf(invoice, invoice_pdf(text, content.finalised_at, look_of(brand)))
    xml = cii(terms_of(content))
    validated_with = _validated(Syntax.CII, xml)
    pdf = marked(invoice_pdf(text, content.finalised_at, look_of(brand), xml))
    with transaction.atomic():
        _keep_xml(invoice, InvoiceXml.Syntax.CII, xml, validated_with)
        return _keep_pdf(invoice, pdf)


def _issue_ubl(invoice: Invoice) -> InvoiceXml:
    content = _content(invoice)
    if not can_say(content.currency):
        raise NoElectronicForm
    xml = ubl(terms_of(content))
    syntax = Syntax.UBL_CREDIT_NOTE if content.is_credit_note else Syntax.UBL_INVOICE
    return _keep_xml(invoice, InvoiceXml.Syntax.UBL, xml, _validated(syntax, xml))


def _content(invoice: Invoice) -> Content:
    if invoice.finalised_at is None:
        raise InvoiceIsADraft
    return content_of(invoice)


def _validated(syntax: Syntax, xml: bytes) -> str:
    return VALIDATOR.validate(syntax, xml, time_limit_s=settings.TOKENWORKS_VALIDATION_LIMIT_S)


def _keep_pdf(invoice: Invoice, pdf: bytes) -> InvoiceDocument:
    fresh = {"pdf": pdf, "sha256": hashlib.sha256(pdf).hexdigest(), "rendered_at": timezone.now()}
    with transaction.atomic():
        document, _ = InvoiceDocument.objects.get_or_create(invoice=invoice, defaults=fresh)
    return document


def _keep_xml(invoice: Invoice, syntax: InvoiceXml.Syntax, xml: bytes, validated_with: str) -> InvoiceXml:
    fresh = {
        "xml": xml,
        "sha256": hashlib.sha256(xml).hexdigest(),
        "validated_with": validated_with,
        "made_at": timezone.now(),
    }
    with transaction.atomic():
        kept, _ = InvoiceXml.objects.get_or_create(invoice=invoice, syntax=syntax, defaults=fresh)
    return kept
