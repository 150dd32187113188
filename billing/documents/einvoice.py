"""Writes a document as XML: CII as Factur-X carries it, and UBL as Peppol BIS Billing 3.0 wants it. Pure.

factur-x writes both from the same terms. It does not check them here: `billing.documents.validation` does, in a process
of its own.
"""

import copy
from enum import StrEnum

from facturx import generate_cii_xml, generate_ubl_xml
from lxml import etree

from billing.documents.en16931 import Terms

PEPPOL_CUSTOMIZATION = "urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"
PEPPOL_PROFILE = "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"
LEVEL = "en16931"
CUSTOMIZATION = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}CustomizationID"


class Syntax(StrEnum):
    """The two that EN 16931 has, UBL with a document of its own for credit notes."""

    CII = "cii"
    UBL_INVOICE = "ubl-invoice"
    UBL_CREDIT_NOTE = "ubl-credit-note"


def cii(terms: Terms) -> bytes:
    """The document as CrossIndustryInvoice, profile EN 16931 of Factur-X."""
    written: bytes = generate_cii_xml(copy.deepcopy(terms), level=LEVEL, check_xsd=False, check_schematron=None)
    return written


def ubl(terms: Terms) -> bytes:
    """The document as UBL 2.1 `Invoice` or `CreditNote`, with the identifiers of Peppol BIS Billing 3.0."""
    given = copy.deepcopy(terms) | {"BT-23": PEPPOL_PROFILE}
    written = generate_ubl_xml(given, level=LEVEL, check_xsd=False, check_schematron=None)
    root = etree.fromstring(written)
    root.find(CUSTOMIZATION).text = PEPPOL_CUSTOMIZATION
    marked: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    return marked
