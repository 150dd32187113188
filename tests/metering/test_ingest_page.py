"""docs/metering.md, "Usage counted elsewhere": its examples are run as they stand there."""

import json
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest

from metering import rollup
from tests.conftest import Person
from tests.layers.test_imports import ROOT
from tests.metering.reported import allow, used

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(shutil.which("curl") is None, reason="There is no curl here."),
]

PAGE = (ROOT / "docs" / "metering.md").read_text()
BLOCKS = re.compile(r"```(bash|json)\n(.*?)```", re.DOTALL)


def examples() -> list[tuple[str, str]]:
    """Kind and text of each block of the section, in order."""
    section = PAGE.partition("## Usage counted elsewhere\n")[2].partition("\n## ")[0]
    return BLOCKS.findall(section)


def answers(text: str) -> list[Any]:
    """The JSON values that follow one another in a text."""
    decoder, found, place = json.JSONDecoder(), [], 0
    while text[place:].strip():
        place += len(text[place:]) - len(text[place:].lstrip())
        value, place = decoder.raw_decode(text, place)
        found.append(value)
    return found


def test_the_examples_of_the_page_do_what_it_says(alice: Person, live_server: Any) -> None:
    allow(alice)
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    environment = {**os.environ, "OFFICE": live_server.url, "KEY": alice.secret, "NOW": now, "no_proxy": "*"}
    said: list[Any] = []
    ran = 0
    for kind, text in examples():
        if kind == "json":
            assert said == answers(text)
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], env=environment, capture_output=True, text=True, check=True
        )
        said = answers(done.stdout)
        ran += 1
    assert ran == 5
    assert said[-1]["state"] == "committed"
    rollup.fold_everything()
    assert used() == {"input_uncached": 70, "input_cached": 500, "output": 900_039, "request": 3}
