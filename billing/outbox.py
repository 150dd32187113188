"""Sends the mails that lie in the outboxes: invoices (`delivery`), notices of budgets (`notices`), top-ups (`top_ups`).

A row is locked while its mail is sent, and marked in the same transaction. Only a crash between the mail server's yes
and our commit can send a mail twice.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import takewhile
from typing import TypeVar

from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import QuerySet

from billing.models import BudgetNotice, Delivery, TopUpOrder

BATCH_MAX = 100
FIRST_DELAY = timedelta(minutes=1)
DELAY_MAX = timedelta(hours=6)
DOUBLINGS_MAX = 10
ERROR_CHARACTERS_MAX = 500

log = logging.getLogger(__name__)

Row = TypeVar("Row", Delivery, BudgetNotice, TopUpOrder)


def send_due(rows: "QuerySet[Row]", mail_of: Callable[[Row], EmailMessage], now: datetime) -> int:
    """Send what is due, BATCH_MAX at most; return how many were sent. One that fails waits, longer each time."""
    outcomes = takewhile(lambda sent: sent is not None, (_send_next(rows, mail_of, now) for _ in range(BATCH_MAX)))
    return sum(sent is True for sent in outcomes)


def _send_next(rows: "QuerySet[Row]", mail_of: Callable[[Row], EmailMessage], now: datetime) -> bool | None:
    """Whether the next one that is due was sent; None where nothing is due."""
    with transaction.atomic():
        due = rows.filter(sent_at=None, next_attempt_at__lte=now).order_by("next_attempt_at", "id")
        row = due.select_for_update(skip_locked=True, of=["self"]).first()
        if row is None:
            return None
        try:
            with transaction.atomic():
                mail_of(row).send()
        except Exception as failure:  # Whatever it is, it concerns this mail, and others must go on.
            _postpone(row, failure, now)
            return False
        row.sent_at, row.last_error = now, ""
        row.save(update_fields=["sent_at", "last_error"])
        return True


def _postpone(row: Delivery | BudgetNotice | TopUpOrder, failure: Exception, now: datetime) -> None:
    row.next_attempt_at = now + min(FIRST_DELAY * 2 ** min(row.attempts, DOUBLINGS_MAX), DELAY_MAX)
    row.attempts += 1
    row.last_error = f"{type(failure).__name__}: {failure}"[:ERROR_CHARACTERS_MAX]
    row.save(update_fields=["attempts", "next_attempt_at", "last_error"])
    log.warning("%s was not sent, try %s: %s", row, row.attempts, row.last_error)
