"""Celery tasks of metering. Each may run twice, or beside itself."""

from celery import shared_task

from metering import alert_mail, partitions, reconciliation, rollup


@shared_task
def fold() -> None:
    rollup.fold_everything()


@shared_task
def make_partitions() -> None:
    partitions.ensure_ahead()


@shared_task
def compare_buckets() -> None:
    reconciliation.compare_recent()


@shared_task
def mail_alerts() -> None:
    alert_mail.send_due()
