"""Marks a PDF/A-3 that carries `factur-x.xml` as a Factur-X document, in its XMP metadata. Pure.

Typst makes the PDF/A-3, attaches the XML and names its relationship, but cannot write metadata of others' schemas. They
are added to its own, with the description of the schema that PDF/A wants, and appended as an incremental update: the
new object, where it lies, and a trailer that points back. pypdf would do it too, and reads all objects of the file
first, which takes as long as all else about a document.

Sources: Factur-X 1.0, section 6.2.2; ISO 32000-1, 7.5.6, "Incremental Updates".
"""

import re
from typing import Final

NAMESPACE: Final = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
SCHEMAS_END: Final = "</rdf:Bag></pdfaExtension:schemas>"
METADATA_END: Final = "</rdf:RDF>"
PROPERTIES = {
    "DocumentFileName": "name of the embedded XML invoice file",
    "DocumentType": "INVOICE",
    "Version": "The actual version of the Factur-X XML schema",
    "ConformanceLevel": "The conformance level of the embedded Factur-X data",
}
PROPERTY = (
    '<rdf:li rdf:parseType="Resource"><pdfaProperty:name>{name}</pdfaProperty:name>'
    "<pdfaProperty:valueType>Text</pdfaProperty:valueType><pdfaProperty:category>external</pdfaProperty:category>"
    "<pdfaProperty:description>{description}</pdfaProperty:description></rdf:li>"
)
SCHEMA = (
    '<rdf:li rdf:parseType="Resource"><pdfaSchema:schema>Factur-X PDFA Extension Schema</pdfaSchema:schema>'
    f"<pdfaSchema:namespaceURI>{NAMESPACE}</pdfaSchema:namespaceURI><pdfaSchema:prefix>fx</pdfaSchema:prefix>"
    "<pdfaSchema:property><rdf:Seq>"
    + "".join(PROPERTY.format(name=name, description=description) for name, description in PROPERTIES.items())
    + "</rdf:Seq></pdfaSchema:property></rdf:li>"
)
DESCRIPTION = (
    f'<rdf:Description rdf:about="" xmlns:fx="{NAMESPACE}"><fx:DocumentType>INVOICE</fx:DocumentType>'
    "<fx:DocumentFileName>factur-x.xml</fx:DocumentFileName><fx:Version>1.0</fx:Version>"
    "<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel></rdf:Description>"
)


METADATA = re.compile(rb"/Metadata (\d+) 0 R")
TRAILER = re.compile(
    rb"trailer\n<<(?P<entries>/Size \d+/Root \d+ 0 R.*?)>>\nstartxref\n(?P<previous>\d+)\n%%EOF\n?\Z", re.DOTALL
)


class MetadataUnknown(Exception):
    """The PDF is not as Typst writes it, so nothing could be added to its metadata."""


def marked(pdf: bytes) -> bytes:
    """The PDF with Factur-X in its metadata. The same PDF gives the same bytes. Raises `MetadataUnknown`."""
    trailer, numbers = TRAILER.search(pdf), METADATA.findall(pdf)
    if trailer is None or len(numbers) != 1:
        raise MetadataUnknown
    number = int(numbers[0])
    metadata = _with_factur_x(_stream(pdf, number))
    body = pdf if pdf.endswith(b"\n") else pdf + b"\n"
    head = b"%d 0 obj\n<</Type/Metadata/Subtype/XML/Length %d>>\nstream\n" % (number, len(metadata))
    changed = head + metadata + b"\nendstream\nendobj\n"
    place = b"xref\n0 1\n0000000000 65535 f\r\n%d 1\n%010d 00000 n\r\n" % (number, len(body))
    pointer = b"trailer\n<<%b/Prev %b>>\nstartxref\n%d\n%%%%EOF\n"
    return body + changed + place + pointer % (trailer["entries"], trailer["previous"], len(body) + len(changed))


def _stream(pdf: bytes, number: int) -> bytes:
    """What an object holds that is not compressed, as PDF/A wants of metadata."""
    found = re.search(rb"\n%d 0 obj\s*<<[^>]*/Length (\d+)[^>]*>>\s*stream\r?\n" % number, pdf)
    if found is None:
        raise MetadataUnknown
    return pdf[found.end() : found.end() + int(found[1])]


def _with_factur_x(metadata: bytes) -> bytes:
    text = metadata.decode()
    if text.count(SCHEMAS_END) != 1 or text.count(METADATA_END) != 1:
        raise MetadataUnknown
    marked_text = text.replace(SCHEMAS_END, SCHEMA + SCHEMAS_END).replace(METADATA_END, DESCRIPTION + METADATA_END)
    return marked_text.encode()
