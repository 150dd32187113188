"""Alerts for operators: the only writer of alerts. Whoever raises one says also when it is over."""

import logging
from collections import Counter
from typing import Any

from django.db import connection
from django.db.models import Count
from django.utils import timezone
from psycopg.types.json import Jsonb

from metering.models import Alert

log = logging.getLogger(__name__)

# One statement, so that two tasks that find the same trouble at once raise one alert and neither fails.
_RAISE = """
    INSERT INTO metering_alert AS alert (kind, subject, message, details, first_seen_at, last_seen_at)
    VALUES (%(kind)s, %(subject)s, %(message)s, %(details)s, %(now)s, %(now)s)
    ON CONFLICT (kind, subject) WHERE resolved_at IS NULL DO UPDATE
    SET message = excluded.message, details = excluded.details, last_seen_at = excluded.last_seen_at
    RETURNING alert.first_seen_at = alert.last_seen_at
"""


def raise_alert(kind: str, subject: str, message: str, **details: Any) -> None:
    """Open the alert, or say of an open one that it is still so. The log has it once, when it is opened.

    `message` says what, where and the remedy; `details` are values that JSON holds, and no prompts or secrets.
    """
    given: dict[str, Any] = {"kind": kind, "subject": subject, "message": message}
    given |= {"details": Jsonb(details), "now": timezone.now()}
    with connection.cursor() as cursor:
        cursor.execute(_RAISE, given)
        (is_new,) = cursor.fetchone()
    if is_new:
        log.error("%s (%s): %s", kind, subject, message)


def resolve(kind: str, subject: str) -> bool:
    """Close the alert, if it is open; return whether it was."""
    closed = Alert.objects.filter(kind=kind, subject=subject, resolved_at=None).update(resolved_at=timezone.now())
    if closed:
        log.info("%s (%s) is over.", kind, subject)
    return bool(closed)


def open_by_kind() -> Counter[str]:
    """How many alerts of each kind are open."""
    counted = Alert.objects.filter(resolved_at=None).order_by("kind").values_list("kind").annotate(Count("id"))
    return Counter(dict(counted))
