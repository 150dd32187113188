"""Celery tasks of inference. Each may run twice, or beside itself."""

from celery import shared_task

from inference import catching_up, engine_hours, engine_readings


@shared_task
def allocate_hours() -> None:
    catching_up.allocate_due()


@shared_task
def allocate_recent_hours() -> None:
    catching_up.allocate_due(catching_up.RECENT)


@shared_task
def read_engines() -> None:
    engine_readings.read_all()


@shared_task
def compare_engines() -> None:
    engine_hours.compare_due()


@shared_task
def forget_readings() -> None:
    engine_readings.forget_old()
