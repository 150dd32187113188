"""The look that a document has, and logos as they are kept."""

import base64
import re
from datetime import datetime
from xml.sax.saxutils import escape

from django.db.models import Q

from billing.documents.invoice_pdf import Look
from billing.models import Brand

PNG = b"\x89PNG\r\n\x1a\n"
REACHES_OUT = re.compile(
    r"""(?i)<!(?:doctype|entity)|<script|<foreignObject|href\s*=\s*["'](?!#|data:)|url\(\s*["']?(?!#)"""
)
WIDTH_AT, HEIGHT_AT, HEADER_BYTES = 16, 20, 24  # Of a PNG: each four bytes of its first chunk.


class NotALogo(ValueError):
    """The file is neither a PNG nor an SVG that stands for itself."""


def brand_of(language: str, finalised_at: datetime) -> Brand:
    """The look of a document: the newest there was, that of its language before that of all; plain without any."""
    there = Brand.objects.filter(Q(language="") | Q(language=language), created_at__lte=finalised_at)
    return there.order_by("-language", "-created_at", "-id").first() or Brand()


def look_of(brand: Brand) -> Look:
    return Look(colour=brand.colour, logo_svg=brand.logo_svg)


def logo_svg(file: bytes) -> str:
    """A logo as it is kept, an SVG; a PNG is wrapped into one. Raises `NotALogo`."""
    if file.startswith(PNG) and len(file) >= HEADER_BYTES:
        width, height = (int.from_bytes(file[at : at + 4], "big") for at in (WIDTH_AT, HEIGHT_AT))
        data = escape(base64.b64encode(file).decode())
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
            f'<image width="{width}" height="{height}" href="data:image/png;base64,{data}"/></svg>'
        )
    try:
        text = file.decode()
    except UnicodeDecodeError as problem:
        raise NotALogo("The logo is neither a PNG nor an SVG. Give one of these.") from problem
    if "<svg" not in text:
        raise NotALogo("The logo is neither a PNG nor an SVG. Give one of these.")
    if REACHES_OUT.search(text):
        raise NotALogo("The logo runs scripts or reaches for files beside it. Give an SVG that stands for itself.")
    return text
