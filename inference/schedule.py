"""What Celery beat does for inference. A run that no worker took in time is dropped, for the next one does its work."""

from typing import Any

from celery.schedules import crontab

RECENT_EVERY_S = 60

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "inference: allocate the cost of recent hours": {
        "task": "inference.tasks.allocate_recent_hours",
        "schedule": RECENT_EVERY_S,
        "options": {"expires": RECENT_EVERY_S},
    },
    "inference: allocate the cost of all hours that are due": {
        "task": "inference.tasks.allocate_hours",
        "schedule": crontab(minute="5"),
    },
}
