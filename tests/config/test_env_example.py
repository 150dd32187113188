"""What .env.example tells operators is what config/settings.py does."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from config import env, settings

EXAMPLE = settings.BASE_DIR / ".env.example"
COMPOSE = settings.BASE_DIR / "docker-compose.yml"
ASSIGNMENT = re.compile(r"^(?:# )?([A-Z][A-Z0-9_]*)=(.*)$")
SHOW_SETTINGS = """
import json
from config import settings
values = {name: str(value) for name, value in vars(settings).items() if name.isupper()}
print(json.dumps(values))
"""


def assignments() -> dict[str, str]:
    found = [(match[1], match[2]) for line in EXAMPLE.read_text().splitlines() if (match := ASSIGNMENT.match(line))]
    names = [name for name, _ in found]
    assert len(names) == len(set(names)), "a name stands there twice"
    return dict(found)


def names_asked_by_compose() -> set[str]:
    return set(re.findall(r"\$\{([A-Z0-9_]+)", COMPOSE.read_text()))


def settings_with(home: Path, **environment: str) -> dict[str, Any]:
    given = {"PATH": os.environ["PATH"], "TOKENWORKS_HOME": str(home), **environment}
    command = [sys.executable, "-c", SHOW_SETTINGS]
    shown = subprocess.run(command, env=given, cwd=settings.BASE_DIR, capture_output=True, text=True, check=True)
    values: dict[str, Any] = json.loads(shown.stdout)
    return values


def test_it_lists_every_setting_and_every_name_that_compose_asks_for_and_nothing_else() -> None:
    assert set(assignments()) == env.known() | names_asked_by_compose()


def test_a_name_that_is_only_for_compose_cannot_be_taken_for_a_setting() -> None:
    assert not [name for name in names_asked_by_compose() - env.known() if name.startswith(env.OURS)]


def test_every_name_has_a_sentence_above_it() -> None:
    lines = EXAMPLE.read_text().splitlines()
    above = [lines[at - 1] for at, line in enumerate(lines) if ASSIGNMENT.match(line)]
    assert [line for line in above if not (line.startswith("# ") and line.endswith("."))] == []


def test_the_values_it_shows_are_the_defaults(home: Path) -> None:
    shown = {name: value for name, value in assignments().items() if value and name != "TOKENWORKS_HOME"}
    ours = {name: value for name, value in shown.items() if name in env.known()}
    assert len(ours) > 15
    assert settings_with(home, **ours) == settings_with(home)


def test_it_leaves_secrets_empty() -> None:
    assert {name for name in assignments() if re.search("SECRET|PASSWORD", name)} == {
        name for name, value in assignments().items() if not value and not name.endswith(("_URL", "_EMAIL"))
    }


def test_compose_reads_it_as_it_stands() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    assert services["gateway"]["env_file"] == [{"path": ".env", "required": False}]
