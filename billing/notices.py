"""Tells tenants how much of a budget is used: a row for each threshold and window, then a mail for each row.

A notice is locked while it is sent and marked in the same transaction, as invoices are (billing/delivery.py).
"""

import logging
from datetime import UTC, datetime, timedelta

from django.core.mail import EmailMessage
from django.db import transaction
from django.utils import timezone

from billing.budgets import all_budgets, counters
from billing.models import BudgetNotice
from billing.windows import counter_key, used, window_at
from tenants.models import Budget

log = logging.getLogger(__name__)

BATCH_MAX = 100
FIRST_DELAY = timedelta(minutes=1)
DELAY_MAX = timedelta(hours=6)

BODY = """\
Hello,

{percent} % of this budget are used: {budget}.
It affords {affords}, and its window began on {since} UTC.

{consequence}
"""


def notify(now: datetime | None = None) -> None:
    """Note what thresholds were reached, once each in a window, and send what is due."""
    now = now or timezone.now()
    note(now)
    for _ in range(BATCH_MAX):
        if not _send_next(now):
            return


def note(now: datetime) -> None:
    rows = {budget.name: budget for budget in all_budgets()}
    with counters() as store:
        for budget in Budget.objects.exclude(notify_at_percent=[]).select_related("tenant", "project", "api_key"):
            row = rows.get(f"budget:{budget.pk}")
            if row is None:
                continue
            window = window_at(row.window, budget.tenant.time_zone, row.since_s, now)
            spent = used(store.hgetall(counter_key(row.name, window)))
            if spent is None:
                continue
            BudgetNotice.objects.bulk_create(
                [
                    BudgetNotice(
                        budget=budget, window_start_s=window.start_s, percent=percent,
                        recipient=budget.tenant.invoice_email, created_at=now, next_attempt_at=now,
                    )
                    for percent in budget.notify_at_percent
                    if spent * 100 >= row.limit * percent
                ],
                ignore_conflicts=True,
            )  # fmt: skip


def _send_next(now: datetime) -> bool:
    """Whether there was a notice to send; one that fails waits, longer each time."""
    with transaction.atomic():
        due = BudgetNotice.objects.filter(sent_at=None, next_attempt_at__lte=now).order_by("next_attempt_at", "id")
        notice = due.select_for_update(skip_locked=True, of=["self"]).select_related("budget__tenant").first()
        if notice is None:
            return False
        try:
            message(notice).send()
        except Exception as failure:  # Whatever it is, it concerns this notice, and others must go on.
            notice.next_attempt_at = now + min(FIRST_DELAY * 2 ** min(notice.attempts, 10), DELAY_MAX)
            notice.attempts += 1
            notice.last_error = f"{type(failure).__name__}: {failure}"[:500]
            log.warning("A notice of %s was not sent: %s", notice, notice.last_error)
        else:
            notice.sent_at, notice.last_error = now, ""
        notice.save()
        return True


def message(notice: BudgetNotice) -> EmailMessage:
    budget = notice.budget
    if budget.amount is not None:
        affords = f"{budget.amount.normalize():f} {budget.tenant.currency}"
    else:
        affords = f"{budget.tokens:,} tokens"
    consequence = "At 100 % further requests are refused." if budget.hard else "No request is refused for it."
    return EmailMessage(
        subject=f"{notice.percent} % used: {budget}",
        body=BODY.format(
            percent=notice.percent,
            budget=budget,
            affords=affords,
            since=f"{datetime.fromtimestamp(notice.window_start_s, UTC):%Y-%m-%d %H:%M}",
            consequence=consequence,
        ),
        to=[notice.recipient],
    )
