"""The files that a document comes as, by the names they are asked for."""

from collections.abc import Callable

import msgspec

from billing.documents.exports import annex_csv, focus_csv, lines_csv, whole_json
from billing.documents.issue import cii_of, pdf_of, ubl_of
from billing.documents.reading import content_of, used_by_day
from billing.models import Invoice

CSV = "text/csv; charset=utf-8"


class FileKind(msgspec.Struct, frozen=True):
    content_type: str
    of: Callable[[Invoice], bytes]


class File(msgspec.Struct, frozen=True):
    """A file under the name that it is kept by: TW-2026-000001-lines.csv."""

    name: str
    content_type: str
    content: bytes


def file_of(invoice: Invoice, asked: str) -> File:
    """One of FILES of a final invoice. Raises `InvoiceIsADraft` and `DocumentRefused`."""
    kind = FILES[asked]
    return File(name=f"{invoice.number}-{asked}", content_type=kind.content_type, content=kind.of(invoice))


def _lines(invoice: Invoice) -> bytes:
    return lines_csv(content_of(invoice)).encode()


def _focus(invoice: Invoice) -> bytes:
    return focus_csv(content_of(invoice)).encode()


def _annex(invoice: Invoice) -> bytes:
    content_of(invoice)  # Refuses a draft: its annex still changes.
    return annex_csv(used_by_day(invoice)).encode()


def _json(invoice: Invoice) -> bytes:
    return whole_json(content_of(invoice), used_by_day(invoice))


FILES = {
    "document.pdf": FileKind("application/pdf", pdf_of),
    "factur-x.xml": FileKind("application/xml", cii_of),
    "peppol.xml": FileKind("application/xml", ubl_of),
    "document.json": FileKind("application/json", _json),
    "lines.csv": FileKind(CSV, _lines),
    "usage.csv": FileKind(CSV, _annex),
    "focus.csv": FileKind(CSV, _focus),
}
