"""Sets an invoice as a PDF/A-2b with Typst. Pure: the same text gives the same bytes.

The fonts are those that Typst brings, and the time of creation is the invoice's own, so that a document can be made
again anywhere and compared. PDF/A is for keeping: it holds all its fonts, and a character that no font can show is an
error and not an empty box. For such a name, in Chinese say, the machine's own fonts are asked too.
"""

from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
import typst

TEMPLATE = Path(__file__).with_name("invoice.typ")
STANDARD: Final = "a-2b"


class Party(msgspec.Struct, frozen=True):
    """A name and an address, a list of lines; `contact` is what else stands beside the seller's."""

    name: str
    address: list[str]
    tax_number: str = ""
    contact: list[str] = []


class Line(msgspec.Struct, frozen=True):
    """One printed line, formatted: `price` is per `per`."""

    position: str
    unit: str
    service: str
    quantity: str
    price: str
    per: str
    amount: str


class Group(msgspec.Struct, frozen=True):
    """Lines under one heading; `note` stands beside it."""

    title: str
    note: str
    lines: list[Line]


class InvoiceText(msgspec.Struct, frozen=True):
    """Every word and figure of the page, ready for print."""

    title: str
    seller: Party
    buyer: Party
    facts: list[tuple[str, str]]
    notice: str
    amount_heading: str
    groups: list[Group]
    sums: list[tuple[str, str]]
    total: tuple[str, str]
    tax_note: str
    payment: str
    bank: list[str]
    summary: list[tuple[str, str, str, str]]
    remark: str
    footer: list[str]


class TextCannotBeSet(Exception):
    """The invoice has a character that no font of this machine can show. Install one, such as Noto Sans CJK."""


def invoice_pdf(text: InvoiceText, created_at: datetime) -> bytes:
    """The invoice as PDF, dated `created_at` (aware). Raises `TextCannotBeSet`, naming the character."""
    try:
        return _set(text, created_at, _fonts(of_machine=False))
    except typst.TypstError:
        pass
    try:
        return _set(text, created_at, _fonts(of_machine=True))
    except typst.TypstError as failure:
        raise TextCannotBeSet(f"{failure.message}. Install a font that shows it, such as Noto Sans CJK.") from failure


def _set(text: InvoiceText, created_at: datetime, fonts: typst.Fonts) -> bytes:
    return typst.compile(
        _template(),
        font_paths=fonts,
        format="pdf",
        sys_inputs={"invoice": msgspec.json.encode(text).decode()},
        pdf_standards=STANDARD,
        timestamp=int(created_at.timestamp()),
    )


@lru_cache(maxsize=2)
def _fonts(*, of_machine: bool) -> typst.Fonts:
    return typst.Fonts(include_system_fonts=of_machine, include_embedded_fonts=True)


@lru_cache(maxsize=1)
def _template() -> bytes:
    return TEMPLATE.read_bytes()
