"""`GET /office/metrics`: what the office knows of journals, batches and alerts, for whoever knows the metrics' secret.

A gateway has a page of its own, `/metrics` (gateway/metrics). This one is of the database, so one office will do.
"""

import hmac
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Count, Min
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from gateway.metrics.exposition import CONTENT_TYPE, Family, Sample, page, seconds, single
from metering import alerts
from metering.models import Batch, JournalState

JOURNALS_MAX = 1_000  # The last ones that were seen; every journal is ten lines of the page.
US = timedelta(microseconds=1)


def metrics(request: HttpRequest) -> HttpResponse:
    """The page, or why not: 404 where metrics are off, 401 without the secret, 503 without the database."""
    if not settings.TOKENWORKS_METRICS:
        return _said(404, "Metrics are off. Set TOKENWORKS_METRICS=yes and TOKENWORKS_METRICS_SECRET.")
    secret = f"Bearer {settings.TOKENWORKS_METRICS_SECRET}"
    if not hmac.compare_digest(request.headers.get("authorization", "").encode(), secret.encode()):
        return _said(
            401, "Send `Authorization: Bearer` and TOKENWORKS_METRICS_SECRET.", **{"WWW-Authenticate": "Bearer"}
        )
    if request.method != "GET":
        return _said(405, "This page takes GET only.", Allow="GET")
    try:
        body = page(families(timezone.now()))
    except DatabaseError:
        return _said(503, "The database does not answer.", **{"Retry-After": "5"})
    return HttpResponse(body, content_type=CONTENT_TYPE.decode(), headers={"Cache-Control": "no-store"})


def _said(status: int, words: str, **headers: str) -> HttpResponse:
    return HttpResponse(f"{words}\n", status=status, content_type="text/plain; charset=utf-8", headers=headers)


def families(now: datetime) -> Iterator[Family]:
    """All there is to say. No query reads more than what is open, newest or waiting."""
    yield from _of_journals(now)
    yield from _of_batches(now)
    yield Family(
        "tokenworks_alerts_open",
        "gauge",
        "Alerts that an operator must look at.",
        [Sample({"kind": kind}, count) for kind, count in sorted(alerts.open_by_kind().items())],
    )


def _of_journals(now: datetime) -> Iterator[Family]:
    states = JournalState.objects.order_by("-seen_at")[:JOURNALS_MAX]
    named = [({"journal": state.name, "journal_id": str(state.journal_id)}, state) for state in states]
    for name, kind, meaning, value in _JOURNAL_FAMILIES:
        samples = [Sample(labels, shown) for labels, state in named if (shown := value(state, now)) is not None]
        yield Family(f"tokenworks_{name}", kind, meaning, samples)


def _age(at: datetime | None, now: datetime) -> str:
    return seconds(max(0, (now - at) // US)) if at else "0"


_JOURNAL_FAMILIES = (
    ("journal_unshipped_bytes", "gauge", "Behind the last committed record.", lambda state, _: state.unshipped_bytes),
    (
        "journal_unshipped_age_seconds",
        "gauge",
        "Of the oldest record that is to be shipped; 0 where none is.",
        lambda state, now: _age(state.unshipped_since, now),
    ),
    ("journal_segments", "gauge", "Files that were not deleted yet.", lambda state, _: state.segments),
    ("journal_last_shipped", "gauge", "Sequence of the last committed record.", lambda state, _: state.last_shipped),
    ("journal_seen_age_seconds", "gauge", "Since a shipper looked.", lambda state, now: _age(state.seen_at, now)),
    ("journal_requests_open", "gauge", "Requests without an end when last counted.", lambda state, _: state.still_open),
    (
        "journal_problem",
        "gauge",
        "1 where something keeps it from being shipped.",
        lambda state, _: int(bool(state.problem)),
    ),
    ("events_shipped_total", "counter", "Events that were committed.", lambda state, _: state.events),
    (
        "duplicates_total",
        "counter",
        "Events left out because they were there already.",
        lambda state, _: state.duplicates,
    ),
)


def _of_batches(now: datetime) -> Iterator[Family]:
    waiting = Batch.objects.filter(folded_at=None, held=False).aggregate(
        batches=Count("id"), oldest=Min("committed_at")
    )
    yield single("tokenworks_batches_unfolded", "gauge", "Batches that are in no bucket yet.", waiting["batches"])
    age = _age(waiting["oldest"], now)
    yield single("tokenworks_batches_unfolded_age_seconds", "gauge", "Of the oldest of them; 0 where none is.", age)
    folded = Batch.objects.filter(folded_at__isnull=False).order_by("-id").only("folded_at").first()
    if folded is not None:
        age = _age(folded.folded_at, now)
        yield single("tokenworks_last_fold_age_seconds", "gauge", "Since the newest folded batch was folded.", age)
