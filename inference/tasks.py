"""Celery tasks of inference. Each may run twice, or beside itself."""

from celery import shared_task

from inference import catching_up


@shared_task
def allocate_hours() -> None:
    catching_up.allocate_due()


@shared_task
def allocate_recent_hours() -> None:
    catching_up.allocate_due(catching_up.RECENT)
