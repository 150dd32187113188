"""Archiving in a process of its own: Arrow's memory goes with it, and a worker that lives for months stays small."""

import subprocess
import sys

from django.conf import settings

TIME_LIMIT_S = 6 * 3600 - 60  # Before the worker's own limit, which would leave the process behind.


class ArchivingDied(Exception):
    """The process that archives ended before its time. What it had begun is taken up by the next run."""


def archive_due() -> None:
    """Do what `tokenworks archive` does, if the setting wants anything archived. Raises ArchivingDied.

    A month that cannot be archived is no error here: it has an alert of its own.
    """
    if settings.TOKENWORKS_EVENT_MONTHS_KEPT == 0:
        return
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "archive"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=TIME_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as problem:
        raise ArchivingDied(f"It was ended after {TIME_LIMIT_S} s.") from problem
    if done.returncode != 0:
        raise ArchivingDied(f"It ended with {done.returncode}; its own words are above, in the worker's log.")
