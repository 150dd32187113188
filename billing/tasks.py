"""Celery tasks of billing. Each may run twice, or beside itself."""

from celery import shared_task

from billing import budgets, delivery, ledger_check, notices


@shared_task
def deliver_pending() -> None:
    delivery.deliver_pending()


@shared_task
def count_budgets() -> None:
    budgets.count_all()


@shared_task
def notify_of_budgets() -> None:
    notices.notify()


@shared_task
def check_ledger() -> None:
    ledger_check.check()
