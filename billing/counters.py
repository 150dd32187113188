"""The counters of budgets as the office speaks to them: when their data began, and how one is begun from Postgres."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from uuid import UUID

import redis
from django.conf import settings
from django.db.models import Max, Min, Q

from billing.windows import BEGAN, BEGAN_SCRIPT, Window
from metering.models import Batch

SCRIPT = Path(__file__).with_name("recount.lua")
TIMEOUT_S = 5


def counters() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, decode_responses=True
    )


def began_ms(store: "redis.Redis") -> tuple[int, int]:
    """Since when Valkey knows what it knows, and its time now; both in milliseconds since the epoch."""
    began, now = store.eval(BEGAN_SCRIPT, 1, BEGAN)
    return int(began), int(now)


def tell_all_anew(store: "redis.Redis") -> None:
    """Have gateways say all that they have, as if Valkey had lost it. They hear it within a second or two."""
    store.delete(BEGAN)
    began_ms(store)


def reached(window: Window) -> dict[UUID, int]:
    """Up to which of its records each journal is in the buckets, of those that were shipped since the window began."""
    journals = (
        Batch.objects.filter(journal_id__isnull=False, committed_at__gte=datetime.fromtimestamp(window.start_s, UTC))
        .order_by()
        .values("journal_id")
        .annotate(reached=Max("last"), waiting=Min("first", filter=Q(folded_at=None)))
    )
    found = journals.values_list("journal_id", "reached", "waiting")
    return {journal: (waiting or last + 1) - 1 for journal, last, waiting in found if journal is not None}


def begin(
    store: "redis.Redis", key: str, base: int, known: dict[UUID, int], *, replaces: bool = False, gone: str = ""
) -> bool:
    """Whether the counter began with this base: see recount.lua."""
    arguments: list[str | int] = [base, int(replaces), gone]
    for journal, sequence in known.items():
        arguments += [journal.hex, sequence]
    return bool(store.eval(_script(), 1, key, *arguments))


@cache
def _script() -> str:
    return SCRIPT.read_text()
