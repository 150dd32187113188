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
    "inference: hold what engines counted against events": {
        "task": "inference.tasks.compare_engines",
        "schedule": crontab(minute="*/5"),
    },
    "inference: forget old readings of engines": {
        "task": "inference.tasks.forget_readings",
        "schedule": crontab(hour="2", minute="20"),
    },
}


def reading_every(interval_s: int) -> dict[str, dict[str, Any]]:
    """Reads the engines' own counters so often; 0: never."""
    options = {"expires": interval_s}
    task = {"task": "inference.tasks.read_engines", "schedule": interval_s, "options": options}
    return {"inference: read what engines counted": task} if interval_s else {}
