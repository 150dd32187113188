"""What Celery beat does for billing. A run that no worker took in time is dropped, for the next one does its work."""

from typing import Any

from celery.schedules import crontab

# Short turns: folding and the counting of budgets, which wait in the same queue, come in between.
CLOSE_EVERY_S = 2
CLOSE_FOR_S = 1.5
DELIVER_EVERY_S = 60
COUNT_BUDGETS_EVERY_S = 2
NOTIFY_EVERY_S = 10
TOP_UP_EVERY_S = 60

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "billing: work the closing runs": {
        "task": "billing.tasks.start_closers",
        "schedule": CLOSE_EVERY_S,
        "options": {"expires": CLOSE_EVERY_S},
    },
    "billing: deliver invoices": {
        "task": "billing.tasks.deliver_pending",
        "schedule": DELIVER_EVERY_S,
        "options": {"expires": DELIVER_EVERY_S},
    },
    "billing: count budgets for the gateways": {
        "task": "billing.tasks.count_budgets",
        "schedule": COUNT_BUDGETS_EVERY_S,
        "options": {"expires": COUNT_BUDGETS_EVERY_S},
    },
    "billing: notify of budgets": {
        "task": "billing.tasks.notify_of_budgets",
        "schedule": NOTIFY_EVERY_S,
        "options": {"expires": NOTIFY_EVERY_S},
    },
    "billing: expire what wallets hold": {
        "task": "billing.tasks.expire_wallet_credits",
        "schedule": crontab(minute="25"),
    },
    "billing: grant what programmes give": {
        "task": "billing.tasks.grant_of_programmes",
        "schedule": crontab(minute="*/15"),
    },
    "billing: order top-ups of wallets": {
        "task": "billing.tasks.order_top_ups",
        "schedule": TOP_UP_EVERY_S,
        "options": {"expires": TOP_UP_EVERY_S},
    },
    "billing: hold the ledger against what it booked": {
        "task": "billing.tasks.check_ledger",
        "schedule": crontab(hour="2", minute="10"),
    },
}
