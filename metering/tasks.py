"""Celery tasks of metering. Each may run twice, or beside itself."""

from celery import shared_task

from metering import (
    alert_mail,
    archive_process,
    backfill_alerts,
    journal_states,
    partitions,
    reconciliation,
    request_days,
    rollup,
)

ARCHIVE_TIME_LIMIT_S = 6 * 3600  # Two months of a hundred million events are no matter of minutes.


@shared_task
def fold() -> None:
    rollup.fold_everything()


@shared_task
def make_partitions() -> None:
    partitions.keep_ahead()


@shared_task(time_limit=ARCHIVE_TIME_LIMIT_S)
def archive_old_months() -> None:
    """A second run beside a long one, as when the broker gives up on it, finds that it is not alone and ends."""
    partitions.check_ahead()
    archive_process.archive_due()


@shared_task
def compare_buckets() -> None:
    reconciliation.compare_recent()


@shared_task
def check_shipping() -> None:
    journal_states.check_late()


@shared_task
def check_backfills() -> None:
    backfill_alerts.check_open()


@shared_task
def check_requests() -> None:
    request_days.check_due()


@shared_task
def mail_alerts() -> None:
    alert_mail.send_due()
