"""Tells tenants how much of a budget is used: a row for each threshold and window, then a mail for each row."""

from datetime import UTC, datetime

from django.core.mail import EmailMessage
from django.utils import timezone

from billing import outbox
from billing.budgets import all_budgets
from billing.counters import counters
from billing.models import BudgetNotice
from billing.windows import counter_key, used, window_at
from tenants.models import Budget

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
    outbox.send_due(BudgetNotice.objects.select_related("budget__tenant"), message, now)


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
