"""Sets a document as a PDF/A-3b with Typst. Pure: the same text and brand give the same bytes.

The fonts are those that Typst brings, and the time of creation is the invoice's own, so that a document can be made
again anywhere and compared. PDF/A is for keeping: it holds all its fonts, and a character that no font can show is an
error and not an empty box. Typst brings no font for Chinese and Japanese: for documents in these languages, and for
names in them, the machine's own fonts are asked.
"""

from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
import typst

from billing.errors import TextCannotBeSet

TEMPLATE = Path(__file__).with_name("invoice.typ")
STANDARD: Final = "a-3b"
LANGUAGES_OF_MACHINE_FONTS = {"zh", "ja"}


class PrintedParty(msgspec.Struct, frozen=True):
    """A name and an address, a list of lines; `contact` is what else stands beside the seller's."""

    name: str
    address: list[str]
    tax_number: str = ""
    contact: list[str] = []


class Line(msgspec.Struct, frozen=True):
    """One printed line, formatted: `price` is per `per`. Quantity and price are empty where there is an amount only."""

    position: str
    name: str
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


class Table(msgspec.Struct, frozen=True):
    """Usage in one look, column by column; `total` is empty or one row.

    Where no text needs more than `one_line_each`, a column is set as one cell, which takes half the time of many.
    """

    title: str
    heads: list[str]
    columns: list[list[str]]
    total: list[str]
    one_line_each: bool


class InvoiceText(msgspec.Struct, frozen=True):
    """Every word and figure of the page, ready for print, in `language`."""

    language: str
    title: str
    seller: PrintedParty
    buyer: PrintedParty
    labels: dict[str, str]
    facts: list[tuple[str, str]]
    notice: str
    groups: list[Group]
    sums: list[tuple[str, str]]
    total: tuple[str, str]
    tax_notes: list[str]
    payment: str
    bank: list[str]
    tables: list[Table]
    remark: str
    closing_words: str
    footer: list[str]


class Look(msgspec.Struct, frozen=True):
    """The operator's colour, as #rrggbb, and logo, an SVG; no logo where it is empty."""

    colour: str = "#17486b"
    logo_svg: str = ""


def invoice_pdf(text: InvoiceText, created_at: datetime, look: Look | None = None, xml: bytes = b"") -> bytes:
    """The document as PDF, dated `created_at` (aware), with the XML of the invoice attached where there is one.

    Raises `TextCannotBeSet`, naming the character.
    """
    inputs = {
        "invoice": msgspec.json.encode(text).decode(),
        "look": msgspec.json.encode(look or Look()).decode(),
        "xml": xml.decode(),
    }
    if text.language not in LANGUAGES_OF_MACHINE_FONTS:
        try:
            return _set(inputs, created_at, _fonts(of_machine=False))
        except typst.TypstError:
            pass
    try:
        return _set(inputs, created_at, _fonts(of_machine=True))
    except typst.TypstError as failure:
        raise TextCannotBeSet(f"{failure.message}. Install a font that shows it, such as Noto Serif CJK.") from failure


def logo_can_be_set(logo_svg: str) -> bool:
    """Whether Typst can draw a logo within PDF/A: one that it cannot would keep every document from being made."""
    sample = b'#image(bytes(sys.inputs.logo), format: "svg", alt: "logo")'
    try:
        typst.compile(sample, format="pdf", sys_inputs={"logo": logo_svg}, pdf_standards=STANDARD, timestamp=0)
    except typst.TypstError:
        return False
    return True


def _set(inputs: dict[str, str], created_at: datetime, fonts: typst.Fonts) -> bytes:
    return typst.compile(
        _template(),
        font_paths=fonts,
        format="pdf",
        sys_inputs=inputs,
        pdf_standards=STANDARD,
        timestamp=int(created_at.timestamp()),
    )


@lru_cache(maxsize=2)
def _fonts(*, of_machine: bool) -> typst.Fonts:
    return typst.Fonts(include_system_fonts=of_machine, include_embedded_fonts=True)


@lru_cache(maxsize=1)
def _template() -> bytes:
    return TEMPLATE.read_bytes()
