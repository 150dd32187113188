"""Whatever is booked balances, and nothing of an invoice is lost between its accounts."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.bookings import (
    Account,
    Leg,
    Legs,
    balance,
    countered,
    credit_given,
    invoice_finalised,
    paid_back,
    payment_received,
    wallet_expired,
    wallet_paid_in,
    wallet_refunded,
    wallet_used,
    written_off,
)
from billing.tax import tax_on
from money.amount import Money

CURRENCIES = st.sampled_from(["USD", "EUR", "JPY", "KWD"])
PICO = st.integers(-(10**30), 10**30)
PERCENT = st.integers(0, 10_000).map(lambda hundredths: Decimal(hundredths) / 100)


def on(legs: Legs, account: Account) -> int:
    return sum(leg.amount.pico for leg in legs if leg.account == account)


@given(currency=CURRENCIES, lines=st.lists(PICO, min_size=1, max_size=30), percent=PERCENT)
def test_an_invoice_balances_and_revenue_rounding_and_tax_are_its_gross(
    currency: str, lines: list[int], percent: Decimal
) -> None:
    amounts = [Money(pico, currency) for pico in lines]
    exact = sum(amounts, Money.zero(currency))
    net = sum((amount.rounded() for amount in amounts), Money.zero(currency))
    tax = tax_on(net, percent)
    legs = invoice_finalised(exact, net, tax)
    assert balance(legs) == {}
    assert on(legs, Account.RECEIVABLE) == (net + tax).pico
    assert -on(legs, Account.REVENUE) == exact.pico
    assert -on(legs, Account.REVENUE) - on(legs, Account.ROUNDING) == net.pico
    assert -sum(on(legs, account) for account in (Account.REVENUE, Account.ROUNDING, Account.TAX)) == (net + tax).pico
    assert len({leg.account for leg in legs}) == len(legs) >= 2
    step = Money.of(1, currency).pico // 2
    assert abs(on(legs, Account.ROUNDING)) <= len(lines) * step


@given(currency=CURRENCIES, pico=PICO)
def test_money_that_comes_in_balances_and_is_undone_by_its_counterpart(currency: str, pico: int) -> None:
    for legs in (payment_received(Money(pico, currency)), wallet_paid_in(Money(pico, currency))):
        assert balance(legs) == {}
        assert on(legs, Account.CASH) == pico
        assert balance(countered(legs)) == {}
        assert all(on(legs + countered(legs), account) == 0 for account in Account)


@given(currency=CURRENCIES, pico=PICO)
def test_what_is_bought_and_used_expired_or_refunded_leaves_nothing_owed(currency: str, pico: int) -> None:
    amount = Money(pico, currency)
    ends = {Account.RECEIVABLE: wallet_used, Account.BREAKAGE: wallet_expired, Account.CASH: wallet_refunded}
    for account, deed in ends.items():
        assert balance(deed(amount)) == {}
        assert on(wallet_paid_in(amount) + deed(amount), Account.WALLET_LIABILITY) == 0
        assert on(deed(amount), account) == -pico


@given(currency=CURRENCIES, pico=PICO, net=PICO, tax=PICO)
def test_a_credit_note_a_write_off_and_a_refund_undo_what_was_owed(
    currency: str, pico: int, net: int, tax: int
) -> None:
    exact, rounded, taxed = Money(pico, currency), Money(net, currency), Money(tax, currency)
    whole = invoice_finalised(exact, rounded, taxed) + credit_given(exact, rounded, taxed)
    assert all(on(whole, account) == 0 for account in Account)
    gross = rounded + taxed
    assert balance(written_off(gross)) == balance(paid_back(gross)) == {}
    assert on(invoice_finalised(exact, rounded, taxed) + written_off(gross), Account.RECEIVABLE) == 0
    assert on(written_off(gross), Account.WRITE_OFF) == gross.pico
    assert all(on(payment_received(gross) + paid_back(gross), account) == 0 for account in Account)


@given(usd=PICO.filter(bool), eur=PICO.filter(bool))
def test_currencies_balance_each_by_itself(usd: int, eur: int) -> None:
    legs = (Leg(Account.CASH, Money(usd, "USD")), Leg(Account.RECEIVABLE, Money(-usd, "EUR")))
    assert balance(legs) == {"USD": usd, "EUR": -usd}
    whole = payment_received(Money(usd, "USD")) + wallet_paid_in(Money(eur, "EUR"))
    assert balance(whole) == {}


def test_an_invoice_over_nothing_has_two_legs_of_zero() -> None:
    nothing = Money.zero("USD")
    assert invoice_finalised(nothing, nothing, nothing) == (
        Leg(Account.RECEIVABLE, nothing),
        Leg(Account.REVENUE, nothing),
    )
