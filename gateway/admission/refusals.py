"""Why a limit refuses, told apart for callers: spent for good, held by requests that still run, or too fast."""

from gateway.admission.leases import Lease
from gateway.admission.terms import Draws
from gateway.errors import Refusal, ServerTrouble


class BudgetSpent(Refusal):
    """The budget does not afford this request."""

    status = 402
    kind = "insufficient_quota"
    code = "insufficient_quota"


class LimitReached(Refusal):
    """This is more than a limit allows now."""

    status = 429
    kind = "rate_limit_error"

    def __init__(self, message: str, wait_s: int) -> None:
        super().__init__(message)
        self.wait_s = wait_s

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(b"retry-after", b"%d" % self.wait_s)]


class BudgetHeld(LimitReached):
    """What is left of the budget is held by requests that still run."""

    code = "budget_held"


class RateLimited(LimitReached):
    """The limit of this minute is reached."""

    code = "rate_limit_exceeded"


class TooManyParallel(LimitReached):
    """As many requests run at once as may."""

    code = "too_many_parallel_requests"


class CountersAway(ServerTrouble):
    """This service cannot count what you use now, and so gives nothing away. Try again in a moment."""

    code = "limits_unavailable"


class BudgetUncounted(ServerTrouble):
    """What was used of your budget is still being counted. Try again in a moment."""

    code = "budget_not_counted"


class LimitsUnpriced(ServerTrouble):
    """This service does not know the price of this request yet, and a budget depends on it. Try again in a moment."""

    code = "budget_not_priced"


def refusal(outcome: str, lease: Lease, now_s: float) -> Refusal:
    """What the caller is told when a counter gave nothing: see take.lua for the outcomes."""
    quota = lease.quota
    if outcome == "uncounted":
        return BudgetUncounted()
    if quota.draws is Draws.PARALLEL:
        return TooManyParallel(f"{quota.limit} requests of {quota.level} may run at once. Wait for one to end.", 1)
    if quota.window == "minute":
        what = "requests" if quota.draws is Draws.REQUESTS else "tokens"
        wait_s = 1
        if outcome == "spent" and lease.window.end_s is not None:
            wait_s = max(1, int(lease.window.end_s - now_s) + 1)
        return RateLimited(f"The limit of {quota.limit} {what} a minute of {quota.level} is reached.", wait_s)
    window = "budget" if quota.window == "total" else f"budget of this {quota.window}"
    if outcome == "held":
        return BudgetHeld(
            f"What is left of the {window} of {quota.level} is held by its requests that still run."
            " It comes back as far as they do not use it.",
            1,
        )
    return BudgetSpent(f"The {window} of {quota.level} does not afford this request. Ask for more budget.")
