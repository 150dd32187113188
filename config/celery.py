"""The Celery application. Tasks live in each package's tasks.py and are edges: they call and decide nothing."""

import os
import sys

from celery import Celery

from config import env

try:
    from config import settings  # noqa: F401 - read now, so that a mistake is said in one line
except env.BadSetting as problem:
    sys.exit(f"tokenworks does not start: {problem}")

from billing.schedule import BEAT_SCHEDULE as BILLING
from inference.schedule import BEAT_SCHEDULE as INFERENCE
from metering.schedule import BEAT_SCHEDULE as METERING

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("tokenworks")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.beat_schedule = {**METERING, **INFERENCE, **BILLING}
app.autodiscover_tasks()
