"""Whose history is kept: every table that people or tasks change and that money depends on. Installed at each migrate.

Not here is what changes by no hand: events, buckets, invoices, the ledger and documents have one writer each, and
Postgres refuses to change them once they are final.
"""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import pghistory
from celery import Task, signals
from django.apps import apps

from tenants import history

LEFT_OUT: Mapping[str, Sequence[str]] = {
    "auth.User": ("password", "last_login"),
    "tenants.ApiKey": ("digest",),
}
KEPT: Sequence[str] = (
    "auth.User",
    "auth.User_groups",
    "auth.Group_permissions",
    "tenants.Tenant",
    "tenants.Project",
    "tenants.Member",
    "tenants.ApiKey",
    "tenants.Limit",
    "tenants.Budget",
    "providers.Upstream",
    "providers.Offering",
    "providers.Deployment",
    "inference.Hardware",
    "inference.Pool",
    "inference.Worker",
    "billing.Seller",
    "billing.TaxRate",
    "billing.TaxExemption",
    "billing.PriceBook",
    "billing.PriceBookVersion",
    "billing.Rate",
    "billing.Plan",
    "billing.PlanTerms",
    "billing.IncludedUsage",
    "billing.Coupon",
    "billing.Redemption",
    "billing.Programme",
    "billing.WalletCredit",
    "billing.Settlement",
    "billing.TopUpRule",
    "billing.TopUpOrder",
    "billing.Payment",
    "billing.ClosingRun",
    "billing.Brand",
)

_of_tasks: dict[str, contextlib.ExitStack] = {}


def keep_all(**signal: Any) -> None:
    """Install what keeps history on every table of the list, after a migration made them.

    Emptying all tables, as tests do, sends the same signal, without a plan: the triggers are still there.
    """
    if "plan" in signal:
        history.keep({apps.get_model(name): LEFT_OUT.get(name, ()) for name in KEPT})


@signals.task_prerun.connect
def begin_task(task_id: str, task: "Task[Any, Any]", **_signal: Any) -> None:
    """Let changes know the task that makes them."""
    stack = _of_tasks[task_id] = contextlib.ExitStack()
    stack.enter_context(pghistory.context(task=task.name))


@signals.task_postrun.connect
def end_task(task_id: str, **_signal: Any) -> None:
    stack = _of_tasks.pop(task_id, None)
    if stack is not None:
        stack.close()
