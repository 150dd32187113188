"""Reads the token counters of every worker's engine now and then: the only writer of readings.

An engine is asked over HTTP by a task and not by the gateway, so that the two counts come by different ways. What it
says is somebody else's text: sizes and times are limited, and what cannot be read becomes a reading with its reason.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import NamedTuple

import httpx2
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from inference.engine_counters import PAGES, Counters, CountersUnreadable, read_counters
from inference.models import Worker, WorkerReading

WORKERS_AT_ONCE = 16
PAGE_BYTES_MAX = 8 * 2**20
PAGE_TIMEOUT_S = 5.0  # For a whole page; connecting and each wait for bytes have half of it.
PROBLEM_CHARACTERS_MAX = 300


class PageUnreadable(Exception):
    """A page of metrics did not come, or not whole."""


class Answer(NamedTuple):
    """What a worker said, and when the answer was there."""

    at: datetime
    counters: Counters | None
    problem: str


def read_all() -> int:
    """Read every enabled worker once; return how many said their counters.

    Where another run is at it nothing is done: two interleaved readings would look like an engine that restarted.
    """
    with transaction.atomic():
        if not _is_alone():
            return 0
        workers = list(Worker.objects.filter(enabled=True, pool__upstream__enabled=True))
        with ThreadPoolExecutor(WORKERS_AT_ONCE) as threads:
            answers = list(threads.map(ask, [worker.base_url for worker in workers]))
        WorkerReading.objects.bulk_create(map(_reading, workers, answers))
    return sum(answer.counters is not None for answer in answers)


def _is_alone() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended('inference.engine_readings', 0))")
        (alone,) = cursor.fetchone()
    return bool(alone)


def ask(base_url: str) -> Answer:
    """The counters of one engine, or why there are none. Raises nothing: one worker must not keep the others unread."""
    counters, problem = None, ""
    try:
        with httpx2.Client(base_url=base_url, timeout=PAGE_TIMEOUT_S / 2, follow_redirects=False) as client:
            counters = _first_readable(client)
    except (httpx2.HTTPError, httpx2.InvalidURL, PageUnreadable, CountersUnreadable) as trouble:
        problem = f"{type(trouble).__name__}: {trouble}"[:PROBLEM_CHARACTERS_MAX]
    return Answer(timezone.now(), counters, problem)


def _first_readable(client: httpx2.Client) -> Counters:
    """From the first of PAGES that has counters; where none has, the first one's problem counts."""
    problems: list[Exception] = []
    for path in PAGES:
        try:
            return read_counters(_page(client, path))
        except (PageUnreadable, CountersUnreadable) as problem:
            problems.append(problem)
    raise problems[0]


def _page(client: httpx2.Client, path: str) -> str:
    """The page as text. Raises PageUnreadable, and httpx2.HTTPError where the worker is away."""
    deadline = time.monotonic() + PAGE_TIMEOUT_S
    with client.stream("GET", path, headers={"accept": "text/plain", "accept-encoding": "identity"}) as response:
        if response.status_code != 200:
            raise PageUnreadable(f"{path} answered with status {response.status_code}.")
        parts, size = [], 0
        for part in response.iter_raw():
            parts.append(part)
            size += len(part)
            if size > PAGE_BYTES_MAX:
                raise PageUnreadable(f"{path} is longer than {PAGE_BYTES_MAX:,} bytes.")
            if time.monotonic() > deadline:
                raise PageUnreadable(f"{path} took over {PAGE_TIMEOUT_S:g} seconds.")
    return b"".join(parts).decode("utf-8", "replace")


def _reading(worker: Worker, answer: Answer) -> WorkerReading:
    given = answer.counters
    return WorkerReading(
        worker=worker,
        at=answer.at,
        started_at=given and given.started_at,
        prompt_tokens=given and given.prompt,
        generation_tokens=given and given.generation,
        engine=given.engine.engine if given else "",
        problem=answer.problem.replace("\x00", ""),
    )


def forget_old() -> int:
    """Delete the readings that are older than TOKENWORKS_ENGINE_READINGS_DAYS; return how many."""
    before = timezone.now() - timedelta(days=settings.TOKENWORKS_ENGINE_READINGS_DAYS)
    deleted, _ = WorkerReading.objects.filter(at__lt=before).delete()
    return deleted
