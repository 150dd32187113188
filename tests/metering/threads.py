"""Runs things at once, each on a connection of its own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from django.db import connection


def at_once(*deeds: Callable[[], object]) -> list[object]:
    """Start all deeds at the same moment and return what they returned; the first error is raised."""
    barrier = Barrier(len(deeds))

    def run(deed: Callable[[], object]) -> object:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=30)
            return deed()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(run, deeds))
