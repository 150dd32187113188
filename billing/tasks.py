"""Celery tasks of billing. Each may run twice, or beside itself."""

from celery import shared_task
from django.conf import settings

from billing import budgets, delivery, ledger_check, notices, programmes, runs, top_ups, wallet_expiry
from billing.schedule import CLOSE_EVERY_S, CLOSE_FOR_S


@shared_task
def start_closers() -> None:
    for _ in range(runs.due(settings.TOKENWORKS_CLOSING_AT_ONCE)):
        work_closings.apply_async(expires=CLOSE_EVERY_S)


@shared_task
def work_closings() -> None:
    runs.work(time_s=CLOSE_FOR_S)


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


@shared_task
def expire_wallet_credits() -> None:
    wallet_expiry.expire_due()


@shared_task
def grant_of_programmes() -> None:
    programmes.grant_due()


@shared_task
def order_top_ups() -> None:
    top_ups.notify()
