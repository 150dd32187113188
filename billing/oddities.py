"""What makes an invoice too odd to go out unseen. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from money.amount import Money


class Oddity(StrEnum):
    JUMP = "jump"
    NEGATIVE = "negative"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Odd is an invoice of `jump_times` the last or more (0: none is), from `jump_from` units of its currency on."""

    jump_times: int
    jump_from: int


@dataclass(frozen=True, slots=True)
class Odd:
    """What is odd about an invoice, and the sentence that says it to whoever has to approve it."""

    oddity: Oddity
    reason: str


def odd(gross: Money, last: Money | None, bounds: Bounds) -> Odd | None:
    """What is odd about an invoice over `gross` after one over `last`; None where nothing is.

    `last` is None where there is none, or one in another currency. Nothing is empty that was nothing before: a tenant
    whose allowance covers all it uses is invoiced unseen.
    """
    nothing = Money.zero(gross.currency)
    if gross < nothing:
        return Odd(Oddity.NEGATIVE, f"The invoice is over {gross}, which is less than nothing.")
    if last is None:
        return None
    seen = f"The invoice is over {gross}, and the last was over {last}."
    if gross == nothing:
        return Odd(Oddity.EMPTY, seen) if last > nothing else None
    far_above = gross >= Money.of(bounds.jump_from, gross.currency) and gross >= last * bounds.jump_times
    return Odd(Oddity.JUMP, seen) if bounds.jump_times and far_above else None
