"""What of a wallet's credits goes to what is due: who pays first, for what, and until when. Pure.

Credits are drawn by priority (a lower number first), then by expiry (what never expires comes last), then by age. A
credit may be restricted to offerings, and pays for what was used before it expires, however late that is invoiced. All
amounts here can be paid: they have the decimals of the currency, so nothing that is drawn is ever rounded again.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

from money.amount import Money, decimals
from money.split import split

NEVER = datetime.max.replace(tzinfo=UTC)
BASIS_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class Credit:
    """What is left of a credit; no `offerings` are all of them, and what belongs to none, too."""

    id: int
    left: Money
    priority: int
    expires_at: datetime | None
    created_at: datetime
    offerings: frozenset[str] = frozenset()

    @property
    def turn(self) -> tuple[int, datetime, datetime, int]:
        return self.priority, self.expires_at or NEVER, self.created_at, self.id

    def pays_for(self, due: "Due") -> bool:
        if self.expires_at is not None and due.at >= self.expires_at:
            return False
        return not self.offerings or due.offering in self.offerings


@dataclass(frozen=True, slots=True)
class Due:
    """An amount that is due for an offering (or for none, as a fee is), used at `at` or after it and before the next
    expiry of a credit. `place` is the line it stands on, `category` what it shares with others taxed alike, and
    `rate_percent_100` its tax in hundredths of a percent, where that is known."""

    place: int
    offering: str
    at: datetime
    amount: Money
    category: str = ""
    rate_percent_100: int = 0

    def negated(self) -> "Due":
        return replace(self, amount=-self.amount)


@dataclass(frozen=True, slots=True)
class Draw:
    """So much of a credit goes to what is due on a line."""

    credit_id: int
    due: Due
    amount: Money

    def negated(self) -> "Draw":
        return replace(self, amount=-self.amount)


def draws(wallet: Iterable[Credit], dues: Sequence[Due]) -> list[Draw]:
    """Which credit pays how much of what: each in its turn, the earliest usage first, until one of both is used up.

    Dues below zero are paid by nothing: see `netted`.
    """
    in_time = sorted(range(len(dues)), key=lambda place: (dues[place].at, dues[place].place, place))
    open_amounts = [due.amount for due in dues]
    found: list[Draw] = []
    for credit in sorted(wallet, key=lambda credit: credit.turn):
        left = credit.left
        for place in in_time:
            amount = min(left, open_amounts[place])
            if amount.pico > 0 and credit.pays_for(dues[place]):
                found.append(Draw(credit.id, dues[place], amount))
                open_amounts[place] -= amount
                left -= amount
    return found


def netted(dues: Sequence[Due]) -> list[Due]:
    """What is due once amounts below zero are taken off: of the same offering and tax first, then of the tax, then any.

    The sum stays as it is, unless more is given back than asked for: then nothing is due.
    """
    left = list(dues)
    for taker in (_same_offering, _same_tax, _any):
        takes: dict[object, list[int]] = defaultdict(list)
        for place, due in enumerate(left):
            takes[taker(due)].append(place)
        for places in takes.values():
            _take_off(left, places)
    return [due for due in left if due.amount.pico > 0]


def _same_offering(due: Due) -> object:
    return due.offering, due.category, due.rate_percent_100


def _same_tax(due: Due) -> object:
    return due.category, due.rate_percent_100


def _any(due: Due) -> object:
    return None


def _take_off(dues: list[Due], places: Sequence[int]) -> None:
    """Let amounts below zero take from those above, the latest first: what is early finds credit longest."""
    below = [place for place in places if dues[place].amount.pico < 0]
    above = sorted((place for place in places if dues[place].amount.pico > 0), key=lambda place: dues[place].at)
    for giver in below:
        for taken in reversed(above):
            amount = min(-dues[giver].amount, dues[taken].amount)
            dues[giver] = replace(dues[giver], amount=dues[giver].amount + amount)
            dues[taken] = replace(dues[taken], amount=dues[taken].amount - amount)


def with_tax(dues: Sequence[Due], gross: Money) -> list[Due]:
    """The same with their shares of the gross amount, which they sum to exactly. None where nothing is to be paid."""
    step = _step(gross.currency)
    weights = [due.amount.pico // step * (BASIS_POINTS + due.rate_percent_100) for due in dues]
    if gross.pico <= 0 or not any(weights):
        return []
    shares = split(gross.pico // step, weights)
    return [
        replace(due, amount=Money(share * step, gross.currency))
        for due, share in zip(dues, shares, strict=True)
        if share
    ]


def by_time(due: Due, boundaries: Sequence[datetime], used_before: Sequence[int], whole: int) -> list[Due]:
    """A line's amount in parts, one to each stretch between `boundaries`, by the quantity used before each of them.

    Where quantities do not say it (there are none, or some below zero), all of it belongs to its first instant.
    """
    quantities = [0, *used_before, whole]
    weights = [later - earlier for earlier, later in pairwise(quantities)]
    if whole <= 0 or min(weights) < 0:
        return [due]
    step = _step(due.amount.currency)
    shares = split(due.amount.pico // step, weights)
    starts = [due.at, *boundaries]
    return [
        replace(due, at=max(due.at, start), amount=Money(share * step, due.amount.currency))
        for start, share in zip(starts, shares, strict=True)
        if share
    ]


def _step(currency: str) -> int:
    """The least amount of a currency that can be paid, in 10^-12."""
    return Money.of(Decimal(1).scaleb(-decimals(currency)), currency).pico
