"""docs/metering.md, "Usage API": its examples are run as they stand there."""

import csv
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from metering import rollup
from metering.dimensions import DIMENSIONS
from tests.conftest import Person
from tests.layers.test_imports import ROOT
from tests.metering.conftest import Factory

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(shutil.which("curl") is None, reason="There is no curl here."),
]

SECTION = (ROOT / "docs" / "metering.md").read_text().partition("## Usage API\n")[2].partition("\n## ")[0]


def test_the_examples_of_the_page_do_what_it_says(
    factory: Factory, alice: Person, live_server: Any, tmp_path: Path
) -> None:
    factory.serve(3, tenant_id=alice.tenant.pk, project_id=alice.project.pk, api_key_id=alice.key.pk)
    factory.ship()
    rollup.fold_everything()
    environment = {**os.environ, "OFFICE": live_server.url, "KEY": alice.secret, "no_proxy": "*"}
    by_day, paged, table, focus = [
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], env=environment, cwd=tmp_path, capture_output=True, check=True
        ).stdout.decode()
        for text in re.findall(r"```bash\n(.*?)```", SECTION, re.DOTALL)
    ]
    (shown,) = re.findall(r"```json\n(.*?)```", SECTION, re.DOTALL)
    assert json.loads(by_day) == json.loads(shown)
    assert json.loads(paged)["results"][0]["group"] == {"unit": "input_uncached"}
    assert json.loads(paged)["next"].startswith(f"{live_server.url}/api/usage/?")
    (line,) = csv.DictReader(table.splitlines())
    assert (line["month"], line["offering"], line["requests"]) == ("2023-11-01", "llama-3.3-70b", "3")
    assert focus == ""
    with (tmp_path / "usage.focus.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["x_Unit"]: row["ConsumedQuantity"] for row in rows} == {
        "input_uncached": "21",
        "output": "9",
        "request": "3",
    }


def test_the_page_names_every_group_and_how_long_a_time_may_be() -> None:
    for name, dimension in DIMENSIONS.items():
        assert f"`{name}`" in SECTION
        if dimension.span_max is not None:
            assert f"{dimension.span_max.days:,}" in SECTION
