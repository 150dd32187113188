"""A gateway process carries nothing of the office."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FORBIDDEN = ("django", "rest_framework", "celery", "kombu", "redis", "opentelemetry")


@pytest.mark.parametrize("module", ["gateway.server", "config.asgi"])
def test_a_gateway_loads_no_django_and_no_celery(home: Path, module: str) -> None:
    script = f"import sys, {module}; print([name for name in {FORBIDDEN!r} if name in sys.modules])"
    given = {**os.environ, "TOKENWORKS_HOME": str(home), "TOKENWORKS_PLANES": "gateway"}
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=given)
    assert loaded.stdout.strip() == "[]"
