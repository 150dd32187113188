"""A pytest plugin: one embedded Postgres and one embedded Valkey for a whole run, in a home of its own.

It is named in pyproject.toml with `-p`, because the settings are read when pytest-django loads, before any conftest.
Each pytest-xdist worker inherits the home and has a database of its own there.
"""

import os
import shutil
import tempfile
from contextlib import ExitStack

import pytest

CONTROLLER = "PYTEST_XDIST_WORKER" not in os.environ

if CONTROLLER:
    # A developer's own settings must not decide what the tests find, and no test may reach their data.
    for name in list(os.environ):
        if name.startswith("TOKENWORKS_") or name in ("DATABASE_URL", "REDIS_URL"):
            del os.environ[name]
    os.environ["TOKENWORKS_HOME"] = tempfile.mkdtemp(prefix="tokenworks-tests-")

from config import embedded, settings  # noqa: E402 - reads the environment that was just cleaned

servers = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    if CONTROLLER:
        servers.enter_context(embedded.hold(settings.TOKENWORKS_HOME, durable=False))


def pytest_unconfigure() -> None:
    if CONTROLLER:
        servers.close()
        shutil.rmtree(settings.TOKENWORKS_HOME)
