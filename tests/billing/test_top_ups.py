"""A wallet that runs low orders its next payment, once, and whoever pays it in closes the order."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail

from billing import budgets, top_ups, wallets
from billing.counters import began_ms, counters
from billing.errors import OrderIsNotOpen
from billing.models import TopUpOrder, TopUpRule, WalletCredit
from billing.windows import BASE, counter_key, window_at
from tests.conftest import Person

NOW = datetime(2031, 5, 15, 12, 0, tzinfo=UTC)
NANO = 10**9


@pytest.fixture(autouse=True)
def counters_of_its_own(settings: Any, worker_id: str) -> Iterator[None]:
    """Each worker of the test run has a database of its own in the one Valkey."""
    settings.REDIS_URL += f"?db={1 + int(worker_id.removeprefix('gw')) % 8 if worker_id != 'master' else 9}"
    with counters() as store:
        began_ms(store)
        yield
        store.flushdb()


@pytest.fixture
def low(priced: Person) -> Person:
    """Acme is prepaid, has paid in 119.00, which affords 100.00, and orders 50.00 when less than 20.00 is left."""
    priced.tenant.prepaid = True
    priced.tenant.save()
    wallets.pay_in(WalletCredit(tenant=priced.tenant, amount=Decimal(119), note="transfer"))
    TopUpRule.objects.create(tenant=priced.tenant, threshold=20, amount=50)
    return priced


def spend(amount: int) -> None:
    [wallet] = budgets.all_budgets()
    with counters() as store:
        key = counter_key(wallet.name, window_at("total", "UTC", wallet.since_s, NOW))
        store.hset(key, mapping={BASE: "0", "journal": f"life 1 {amount * NANO} 100 9 0"})


def test_a_wallet_below_its_threshold_orders_a_top_up_once_by_mail(low: Person) -> None:
    for spent, mails in ((79, 0), (80, 0), (81, 1), (90, 1)):
        spend(spent)
        top_ups.notify(NOW)
        assert len(mail.outbox) == mails
    order = TopUpOrder.objects.get()
    assert (order.amount, order.affordable, order.status, order.sent_at) == (50, 19, "open", NOW)
    [sent] = mail.outbox
    assert sent.to == [low.tenant.invoice_email]
    assert f"transfer 50.00 USD, with the reference TOPUP-{order.pk}" in sent.body
    assert "still affords 19.00 USD before tax" in sent.body
    assert "DE89 3704 0044 0532 0130 00" in sent.body


def test_a_wallet_without_a_counter_yet_orders_nothing(low: Person) -> None:
    top_ups.notify(NOW)
    assert not TopUpOrder.objects.exists()


def test_paying_in_closes_the_order_once_and_the_next_may_follow(low: Person) -> None:
    spend(95)
    top_ups.notify(NOW)
    order = TopUpOrder.objects.get()
    credit = wallets.pay_in(WalletCredit(tenant=low.tenant, amount=Decimal(50), note="transfer"), order)
    order.refresh_from_db()
    assert (order.status, order.credit) == ("paid", credit)
    with pytest.raises(OrderIsNotOpen):
        wallets.pay_in(WalletCredit(tenant=low.tenant, amount=Decimal(50), note="again"), order)
    assert WalletCredit.objects.count() == 2
    top_ups.notify(NOW)
    assert TopUpOrder.objects.count() == 1
    spend(140)
    top_ups.notify(NOW)
    assert TopUpOrder.objects.filter(status="open").count() == 1


def test_an_order_of_another_tenant_is_not_paid(low: Person, mallory: Person) -> None:
    spend(95)
    top_ups.notify(NOW)
    with pytest.raises(OrderIsNotOpen):
        wallets.pay_in(WalletCredit(tenant=mallory.tenant, amount=Decimal(50), note="x"), TopUpOrder.objects.get())


def test_a_cancelled_order_makes_room_for_the_next(low: Person) -> None:
    spend(95)
    top_ups.notify(NOW)
    order = TopUpOrder.objects.get()
    top_ups.cancel(order.pk)
    with pytest.raises(OrderIsNotOpen):
        top_ups.cancel(order.pk)
    top_ups.notify(NOW)
    assert TopUpOrder.objects.filter(status="open").count() == 1
