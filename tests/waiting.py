"""Waiting for real processes: look again and again until a deadline, never sleep and hope."""

import time
from collections.abc import Callable

import psutil

TIMEOUT_S = 30


def until(condition: Callable[[], object], what: str, timeout_s: int = TIMEOUT_S, every_s: float = 0.02) -> None:
    """Return when the condition holds; fail, saying what did not happen, when it takes too long."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain until {what}"
        time.sleep(every_s)


def is_gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has asked yet how. It may go away while it is looked at."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
