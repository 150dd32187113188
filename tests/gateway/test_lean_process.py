"""A gateway process carries nothing of the office."""

import subprocess
import sys

FORBIDDEN = ("django", "rest_framework", "celery", "kombu", "redis")


def test_a_gateway_loads_no_django_and_no_celery() -> None:
    script = f"import sys, gateway.server; print([name for name in {FORBIDDEN!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
