"""Asks a worker to fold what was just committed, without waiting for the broker."""

from functools import cache

from django.db import transaction

from metering import tasks
from metering.nudge import Nudger

NUDGE_EXPIRES_S = 60


def fold_soon() -> None:
    """Ask a worker to fold. What no worker took in time is dropped, for beat asks again."""
    tasks.fold.apply_async(expires=NUDGE_EXPIRES_S, retry=False)


def fold_after_commit() -> None:
    """Ask for folding, from a thread of this process, when the transaction at hand has committed."""
    transaction.on_commit(lambda: _nudger()())


@cache
def _nudger() -> Nudger:
    """One a process, begun when it is first needed: a worker forks before, and threads do not survive that."""
    return Nudger(fold_soon).__enter__()
