"""What Celery beat does for billing. A run that no worker took in time is dropped, for the next one does its work."""

from typing import Any

DELIVER_EVERY_S = 60

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "billing: deliver invoices": {
        "task": "billing.tasks.deliver_pending",
        "schedule": DELIVER_EVERY_S,
        "options": {"expires": DELIVER_EVERY_S},
    },
}
