"""The simulated worker as an operator starts it: a process of its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from django.core.management import CommandError, call_command

from inference.simulator.serving import listen

ROOT = Path(__file__).parents[2]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "manage.py", "simulate", "--model=llama", "--port=0", "--speed=b200"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as running:
        yield running
        running.kill()


def test_it_says_that_it_is_simulated_answers_and_ends_cleanly(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("Simulated worker for llama at http://127.0.0.1:")
    assert "speed b200" in line
    found = re.search(r"http://\S+:\d+", line)
    assert found is not None
    assert httpx2.get(f"{found[0]}/health").status_code == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) in (0, -signal.SIGTERM)


def test_a_taken_port_is_said_with_the_remedy() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match="Give another --port"):
            call_command("simulate", model="llama", port=port)


def test_an_unknown_speed_is_refused() -> None:
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("simulate", "--model=llama", "--port=0", "--speed=tpu")
