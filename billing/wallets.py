"""The one writer of wallet credits: what a prepaid tenant paid in, booked as it is entered."""

from django.db import transaction

from billing import ledger
from billing.models import WalletCredit


@transaction.atomic
def pay_in(credit: WalletCredit) -> WalletCredit:
    """Keep a credit (a negative one takes back), which from now on never changes, and book it."""
    credit.save(force_insert=True)
    ledger.book_wallet_credit(credit)
    return credit
