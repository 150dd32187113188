"""The look that a document has, and logos as they are kept."""

import base64
import re
from datetime import datetime

from django.db.models import Q

from billing.documents.invoice_pdf import Look, logo_can_be_set
from billing.models import Brand
from billing.models.documents import LOGO_CHARACTERS_MAX

PNG = b"\x89PNG\r\n\x1a\n"
REACHES_OUT = re.compile(
    r"""(?i)<!(?:doctype|entity)|<script|<foreignObject|href\s*=\s*["'](?!#|data:)|url\(\s*["']?(?!#)"""
)
PNG_END = b"IEND\xaeB`\x82"
WIDTH_AT, HEIGHT_AT = 16, 20  # Of a PNG: each four bytes of its first chunk.


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
    svg = _wrapped(file) if file.startswith(PNG) and file.endswith(PNG_END) else _own_svg(file)
    if len(svg) > LOGO_CHARACTERS_MAX:
        raise NotALogo(f"The logo is too large: {len(svg):,} characters, of {LOGO_CHARACTERS_MAX:,} at most.")
    if not logo_can_be_set(svg):
        raise NotALogo("The logo cannot be drawn in a PDF. Save it anew as a plain SVG or as a PNG.")
    return svg


def _wrapped(png: bytes) -> str:
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (WIDTH_AT, HEIGHT_AT))
    data = base64.b64encode(png).decode()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
        f'<image width="{width}" height="{height}" href="data:image/png;base64,{data}"/></svg>'
    )


def _own_svg(file: bytes) -> str:
    try:
        text = file.decode()
    except UnicodeDecodeError as problem:
        raise NotALogo("The logo is neither a PNG nor an SVG. Give one of these.") from problem
    if "<svg" not in text:
        raise NotALogo("The logo is neither a PNG nor an SVG. Give one of these.")
    if REACHES_OUT.search(text):
        raise NotALogo("The logo runs scripts or reaches for files beside it. Give an SVG that stands for itself.")
    return text
