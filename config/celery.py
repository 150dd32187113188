"""The Celery application. Tasks live in each package's tasks.py and are edges: they call and decide nothing."""

import os
import sys

from celery import Celery

from config import env

try:
    from config import settings  # Read now, so that a mistake is said in one line.
except env.BadSetting as problem:
    sys.exit(f"tokenworks does not start: {problem}")

from billing.schedule import BEAT_SCHEDULE as BILLING
from inference.schedule import BEAT_SCHEDULE as INFERENCE
from inference.schedule import reading_every
from metering.schedule import BEAT_SCHEDULE as METERING

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("tokenworks")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.beat_schedule = {
    **METERING,
    **INFERENCE,
    **reading_every(settings.TOKENWORKS_ENGINE_READ_INTERVAL_S),
    **BILLING,
}
app.autodiscover_tasks()
