"""The PDF of a final invoice: rendered once, kept, and never rendered again."""

import hashlib

from django.db import transaction
from django.utils import timezone

from billing.documents.invoice_pdf import invoice_pdf
from billing.documents.invoice_text import invoice_text
from billing.errors import InvoiceIsADraft
from billing.models import Invoice, InvoiceDocument


def document_of(invoice: Invoice) -> InvoiceDocument:
    """The document of a final invoice, rendered now if it was not before.

    Two renderings at once give the same bytes, and the first one stays. Raises `InvoiceIsADraft`.
    """
    found = InvoiceDocument.objects.filter(invoice=invoice).first()
    return found or _render(invoice)


def pdf_of(invoice: Invoice) -> bytes:
    """The bytes of a final invoice's PDF."""
    return bytes(document_of(invoice).pdf)


def _render(invoice: Invoice) -> InvoiceDocument:
    if invoice.finalised_at is None:
        raise InvoiceIsADraft
    pdf = invoice_pdf(invoice_text(invoice), invoice.finalised_at)
    fresh = {"pdf": pdf, "sha256": hashlib.sha256(pdf).hexdigest(), "rendered_at": timezone.now()}
    with transaction.atomic():
        document, _ = InvoiceDocument.objects.get_or_create(invoice=invoice, defaults=fresh)
    return document
