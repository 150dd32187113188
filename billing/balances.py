"""What the ledger says: balances of accounts, and what is open of invoices. Summed when asked for, and kept nowhere."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from billing.bookings import Account
from billing.models import Invoice, Posting
from money.amount import Money


@dataclass(frozen=True)
class Balance:
    """The debits and the credits of one account in one currency, both without sign."""

    account: Account
    debit: Money
    credit: Money

    @property
    def currency(self) -> str:
        return self.debit.currency

    @property
    def amount(self) -> Money:
        """Positive where debits are more."""
        return self.debit - self.credit


def balances(
    account: Account | None = None, tenant_id: int | None = None, currency: str | None = None, at: date | None = None
) -> list[Balance]:
    """One balance to a currency and account, in this order, of what occurred until the end of day `at`; None is all."""
    given = {"account": account, "tenant_id": tenant_id, "currency": currency, "entry__occurred_on__lte": at}
    postings = Posting.objects.filter(**{name: value for name, value in given.items() if value is not None})
    grouped = postings.order_by().values("currency", "account")
    summed = grouped.annotate(debit=_sum(amount__gt=0), credit=_sum(amount__lt=0))
    found = [
        Balance(
            Account(row["account"]),
            Money.of(row["debit"], row["currency"]),
            -Money.of(row["credit"], row["currency"]),
        )
        for row in summed
    ]
    places = list(Account)
    return sorted(found, key=lambda balance: (balance.currency, places.index(balance.account)))


def with_open_amount(invoices: "QuerySet[Invoice]") -> "QuerySet[Invoice]":
    """Each invoice with its `open_amount`: None for a draft, negative where the tenant is owed."""
    return invoices.annotate(  # type: ignore[no-redef]  # The table declares what is added here.
        open_amount=Subquery(
            Posting.objects.filter(account=Account.RECEIVABLE, entry__invoice=OuterRef("pk"))
            .order_by()
            .values("entry__invoice")
            .annotate(total=Sum("amount"))
            .values("total")
        )
    )


def open_amount(invoice: Invoice) -> Money:
    """What is still owed of a final invoice: its gross amount less its payments that were not reversed."""
    postings = Posting.objects.filter(account=Account.RECEIVABLE, entry__invoice=invoice)
    return Money.of(postings.aggregate(total=Sum("amount"))["total"] or 0, invoice.currency)


def is_paid(invoice: Invoice) -> bool:
    """Whether nothing is owed any more of an invoice that came with its open amount."""
    return invoice.open_amount is not None and invoice.open_amount <= 0


def _sum(**condition: Any) -> Coalesce:
    return Coalesce(Sum("amount", filter=Q(**condition)), Decimal(0))
