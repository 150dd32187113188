"""The Celery application. Tasks live in each package's tasks.py and are edges: they call and decide nothing."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("tokenworks")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
