"""Which postings a deed gives, as double entry wants it. Pure.

A leg's amount is signed: a debit is positive, a credit negative, and the legs of a deed sum to zero in each currency.
docs/ledger.md shows the accounts and a worked example, which a test executes.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from money.amount import Money


class Account(StrEnum):
    RECEIVABLE = "receivable"
    REVENUE = "revenue"
    ROUNDING = "rounding"
    TAX = "tax"
    WALLET_LIABILITY = "wallet_liability"
    BREAKAGE = "breakage"
    WRITE_OFF = "write_off"
    CASH = "cash"


@dataclass(frozen=True, slots=True)
class Leg:
    """So much on one account: a debit where positive, a credit where negative."""

    account: Account
    amount: Money


Legs = tuple[Leg, ...]


def invoice_finalised(exact: Money, net: Money, tax: Money) -> Legs:
    """The tenant owes what is printed: `net`, the sum of rounded lines, and `tax`.

    Earned is `exact`, the sum of the lines before they were rounded; what rounding them added or took is booked apart,
    so that revenue is what usage and prices give, to 10^-12. An invoice over nothing has its two legs of zero.
    """
    return (
        Leg(Account.RECEIVABLE, net + tax),
        Leg(Account.REVENUE, -exact),
        *_unless_zero(Account.ROUNDING, exact - net),
        *_unless_zero(Account.TAX, -tax),
    )


def payment_received(amount: Money) -> Legs:
    """Money came in, and the tenant owes that much less."""
    return Leg(Account.CASH, amount), Leg(Account.RECEIVABLE, -amount)


def wallet_paid_in(amount: Money) -> Legs:
    """Money came in (went back, where negative), and is owed to the tenant as usage."""
    return Leg(Account.CASH, amount), Leg(Account.WALLET_LIABILITY, -amount)


def wallet_used(amount: Money) -> Legs:
    """An invoice is paid from the wallet: what was owed to the tenant and what the tenant owes are less by as much."""
    return Leg(Account.WALLET_LIABILITY, amount), Leg(Account.RECEIVABLE, -amount)


def wallet_expired(amount: Money) -> Legs:
    """What was bought and not used in time is owed no more. It is earned without anything sold: breakage."""
    return Leg(Account.WALLET_LIABILITY, amount), Leg(Account.BREAKAGE, -amount)


def wallet_refunded(amount: Money) -> Legs:
    """Bought credit goes back to the tenant as money."""
    return countered(wallet_paid_in(amount))


def credit_given(exact: Money, net: Money, tax: Money) -> Legs:
    """A credit note takes back so much of an invoice: what booked that, on the other side."""
    return countered(invoice_finalised(exact, net, tax))


def written_off(amount: Money) -> Legs:
    """What the tenant owes will not be paid: a loss, the tax on it included."""
    return Leg(Account.WRITE_OFF, amount), Leg(Account.RECEIVABLE, -amount)


def paid_back(amount: Money) -> Legs:
    """Money goes back that was paid on an invoice and is owed for it no more."""
    return countered(payment_received(amount))


def countered(legs: Legs) -> Legs:
    """What undoes these legs: the same on the other side."""
    return tuple(Leg(leg.account, -leg.amount) for leg in legs)


def balance(legs: Iterable[Leg]) -> dict[str, int]:
    """By currency, what the legs sum to in 10^-12; empty where they balance."""
    sums: Counter[str] = Counter()
    for leg in legs:
        sums[leg.amount.currency] += leg.amount.pico
    return {currency: pico for currency, pico in sums.items() if pico}


def _unless_zero(account: Account, amount: Money) -> Legs:
    return (Leg(account, amount),) if amount else ()
