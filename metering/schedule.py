"""What Celery beat does for metering. A run that no worker took in time is dropped, for the next one does its work."""

from typing import Any

from celery.schedules import crontab

FOLD_EVERY_S = 2
MAIL_ALERTS_EVERY_S = 30
CHECK_SHIPPING_EVERY_S = 60
CHECK_BACKFILLS_EVERY_S = 600
SHIPPER_STARTS_IN_S = 30  # When everything starts together, journals of yesterday are not called late at once.

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "metering: fold batches into buckets": {
        "task": "metering.tasks.fold",
        "schedule": FOLD_EVERY_S,
        "options": {"expires": FOLD_EVERY_S},
    },
    "metering: mail alerts to operators": {
        "task": "metering.tasks.mail_alerts",
        "schedule": MAIL_ALERTS_EVERY_S,
        "options": {"expires": MAIL_ALERTS_EVERY_S},
    },
    "metering: look whether journals are shipped": {
        "task": "metering.tasks.check_shipping",
        "schedule": CHECK_SHIPPING_EVERY_S,
        "options": {"countdown": SHIPPER_STARTS_IN_S, "expires": CHECK_SHIPPING_EVERY_S + SHIPPER_STARTS_IN_S},
    },
    "metering: look whether backfills are left open": {
        "task": "metering.tasks.check_backfills",
        "schedule": CHECK_BACKFILLS_EVERY_S,
        "options": {"expires": CHECK_BACKFILLS_EVERY_S},
    },
    "metering: hold requests against events": {
        "task": "metering.tasks.check_requests",
        "schedule": crontab(hour="1", minute="10"),
    },
    "metering: make partitions ahead": {
        "task": "metering.tasks.make_partitions",
        "schedule": crontab(hour="0", minute="10"),
    },
    "metering: archive and drop old months": {
        "task": "metering.tasks.archive_old_months",
        "schedule": crontab(hour="2", minute="30"),
    },
    "metering: compare buckets with events": {
        "task": "metering.tasks.compare_buckets",
        "schedule": crontab(hour="1", minute="40"),
    },
}
