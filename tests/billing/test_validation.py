"""Validation that did not run is a failure, however it did not run; and it never runs in the process that asks."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from billing.documents.einvoice import Syntax, cii
from billing.documents.en16931 import terms_of
from billing.documents.validation.frames import Verdict, framed
from billing.documents.validation.validator import Validator
from billing.errors import DocumentIsInvalid, ValidationDidNotRun
from tests.billing.contents import content

ROOT = Path(__file__).parents[2]
LIMIT_S = 120
XML = b"<anything/>"

Make = Callable[[str], Validator]


@pytest.fixture
def validator_that() -> Iterator[Make]:
    """A validator whose process is a program of the test."""
    made: list[Validator] = []

    def make(program: str) -> Validator:
        made.append(Validator((sys.executable, "-c", program)))
        return made[-1]

    yield make
    for validator in made:
        validator.stop()


def answering(answer: bytes) -> str:
    return f"import sys; sys.stdin.buffer.read(1); sys.stdout.buffer.write({answer!r}); sys.stdout.buffer.flush()"


@pytest.mark.parametrize(
    "program",
    [
        "pass",
        "raise SystemExit(1)",
        "import os; os.kill(os.getpid(), 9)",
        answering(b"\x00\x00\x00\x10short"),
        answering(b"\xff\xff\xff\xff"),
        answering(b"\x00\x00\x00\x03abc"),
        answering(framed(Verdict(failure="out of memory"))),
        answering(framed(Verdict())),
    ],
)
def test_a_process_that_fails_is_no_validation(validator_that: Make, program: str) -> None:
    with pytest.raises(ValidationDidNotRun):
        validator_that(program).validate(Syntax.CII, XML, time_limit_s=LIMIT_S)


def test_a_process_that_is_silent_is_no_validation(validator_that: Make) -> None:
    with pytest.raises(ValidationDidNotRun, match="timed out"):
        validator_that("import sys; sys.stdin.read()").validate(Syntax.CII, XML, time_limit_s=0.2)


def test_a_process_that_does_not_listen_is_no_validation(validator_that: Make) -> None:
    long = XML * 1_000_000  # More than any buffer between the two holds.
    with pytest.raises(ValidationDidNotRun, match="timed out"):
        validator_that("import time; time.sleep(600)").validate(Syntax.CII, long, time_limit_s=0.5)


def test_a_document_that_is_no_xml_is_not_validated_and_the_next_one_is() -> None:
    validator = Validator()
    try:
        with pytest.raises(ValidationDidNotRun, match="XMLSyntaxError"):
            validator.validate(Syntax.CII, b"no xml", time_limit_s=LIMIT_S)
        with pytest.raises(DocumentIsInvalid, match="No matching global declaration"):
            validator.validate(Syntax.CII, XML, time_limit_s=LIMIT_S)
        assert validator.validate(Syntax.CII, cii(terms_of(content())), time_limit_s=LIMIT_S)
    finally:
        validator.stop()


def test_a_killed_process_fails_one_document_and_another_takes_over() -> None:
    validator = Validator()
    xml = cii(terms_of(content()))
    try:
        validator.validate(Syntax.CII, xml, time_limit_s=LIMIT_S)
        process = validator._process
        assert process is not None
        process.kill()
        process.wait()
        with pytest.raises(ValidationDidNotRun):
            validator.validate(Syntax.CII, xml, time_limit_s=LIMIT_S)
        assert validator.validate(Syntax.CII, xml, time_limit_s=LIMIT_S)
    finally:
        validator.stop()


def test_entities_are_not_resolved() -> None:
    """A document that names a file of the machine does not get its content into a message."""
    validator = Validator()
    bomb = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><x>&a;</x>'
    try:
        with pytest.raises(DocumentIsInvalid) as refusal:
            validator.validate(Syntax.CII, bomb, time_limit_s=LIMIT_S)
        hostname = os.uname().nodename
        assert hostname not in str(refusal.value)
    finally:
        validator.stop()


def test_whoever_issues_documents_does_not_load_saxon() -> None:
    """Saxon is a Java machine in a library, and does not survive the fork of a Celery worker."""
    program = (
        "import django, sys; django.setup(); import billing.documents.issue, billing.tasks, config.urls;"
        "sys.exit('saxonche' in sys.modules)"
    )
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    assert subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT, timeout=LIMIT_S).returncode == 0


def test_the_validating_process_loads_no_django() -> None:
    program = "import billing.documents.validation.__main__, sys; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=LIMIT_S).returncode == 0
