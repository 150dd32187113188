"""When a request that failed is sent to another worker, and how often the whole process may do so. Pure.

Only before the first byte was delivered to the caller, and only where the outcome is known and unbilled:

- no connection could be made: nothing was sent, so this is no retry at all and costs no budget;
- the upstream answered with 429 or any 5xx: it said itself that it did not do the work;
- the connection ended before any byte of an answer: the engine stops what nobody waits for, and the event of that
  attempt is closed unbilled.

Not after a time-out (the caller has waited long enough, and the work may be running), not after the head of a good
answer, not after an answer that cannot be understood. No worker is asked twice by one deployment.
"""

BUDGET_MAX = 20  # Retries that a quiet process may make at once.
RETRIES_MAX = 2  # For one request.


class RetryBudget:
    """Retries as a share of requests, in a token bucket: when everything fails, retries cannot make it worse.

    It begins full. Each request adds `percent` of a retry, up to BUDGET_MAX.
    """

    __slots__ = ("_hundredths", "_percent", "spent")

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._hundredths = 100 * BUDGET_MAX if percent else 0
        self.spent = 0  # Retries since the process started.

    def earn(self) -> None:
        """A request came."""
        if self._hundredths < 100 * BUDGET_MAX:
            self._hundredths += self._percent

    def spend(self) -> bool:
        """Take one retry; False when there is none."""
        if self._hundredths < 100:
            return False
        self._hundredths -= 100
        self.spent += 1
        return True


def refused_to_work(status: int) -> bool:
    """Whether a status says that the upstream did not do the work, and another may."""
    return status == 429 or status >= 500
