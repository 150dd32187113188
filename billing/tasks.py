"""Celery tasks of billing. Each may run twice, or beside itself."""

from celery import shared_task

from billing import delivery


@shared_task
def deliver_pending() -> None:
    delivery.deliver_pending()
