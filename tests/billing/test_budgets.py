"""Counters begin with what the buckets say, in Valkey; thresholds are mailed once a window."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from billing import budgets, notices
from billing.counters import began_ms, counters
from billing.models import BudgetNotice, WalletCredit
from billing.windows import BASE, counter_key, window_at
from metering.models import Bucket
from tenants.models import Budget
from tests.billing.samples import LLAMA
from tests.conftest import Person

NOW = datetime(2031, 5, 15, 12, 0, tzinfo=UTC)  # Later than any clock here: Valkey drops counters of the past.


@pytest.fixture(autouse=True)
def counters_of_its_own(settings: Any, worker_id: str) -> Iterator[None]:
    """Each worker of the test run has a database of its own in the one Valkey."""
    settings.REDIS_URL += f"?db={1 + int(worker_id.removeprefix('gw')) % 8 if worker_id != 'master' else 9}"
    with counters() as store:
        began_ms(store)  # Before any budget of the test is made.
        yield
        store.flushdb()


def use(person: Person, start: datetime, tokens: int, *, billed: bool = True) -> None:
    Bucket.objects.create(
        tenant_id=person.tenant.pk, start=start, project_id=person.project.pk, api_key_id=person.key.pk,
        offering=LLAMA, deployment="d", billed=billed, unit="output", quantity=tokens, updated_at=start,
    )  # fmt: skip


def new_budget(person: Person, **fields: Any) -> Budget:
    given = {"tenant": person.tenant, "window": "month", "kind": "tokens", "tokens": 1000}
    return Budget.objects.create(**{**given, **fields})


def key_of(budget: Budget, at: datetime = NOW) -> str:
    since_s = int(budget.created_at.timestamp())
    return counter_key(f"budget:{budget.pk}", window_at(budget.window, budget.tenant.time_zone, since_s, at))


def base_of(budget: Budget, at: datetime = NOW) -> str | None:
    with counters() as store:
        value: str | None = store.hget(key_of(budget, at), BASE)
    return value


def test_a_counter_begins_with_what_the_window_has_used(priced: Person, mallory: Person) -> None:
    budget = new_budget(priced)
    use(priced, NOW - timedelta(days=40), 1)
    use(priced, NOW - timedelta(days=1), 20)
    use(priced, NOW, 300)
    use(priced, NOW + timedelta(hours=1), 4000, billed=False)
    use(mallory, NOW, 50_000)
    budgets.count_all(NOW)
    assert base_of(budget) == "320"


def test_a_budget_of_money_begins_with_what_billing_asks_for_that(priced: Person) -> None:
    budget = new_budget(priced, kind="money", tokens=None, amount=Decimal(5), window="day")
    use(priced, NOW, 1_000_000)
    budgets.count_all(NOW)
    row = next(row for row in budgets.all_budgets() if row.name == f"budget:{budget.pk}")
    window = window_at("day", budget.tenant.time_zone, 0, NOW)
    used = budgets.used_in(row, window)
    assert used > 0
    assert base_of(budget) == str(used)


def test_gateways_heed_a_budget_when_it_is_counted_and_later_windows_are_ready_before_they_begin(
    priced: Person,
) -> None:
    budget = new_budget(priced, window="day", created_at=NOW)
    assert budget.counted_at is None
    budgets.count_all(NOW)
    budget.refresh_from_db()
    assert budget.counted_at == NOW
    assert base_of(budget, NOW + timedelta(days=1)) == "0"


def test_counting_twice_changes_nothing(priced: Person) -> None:
    budget = new_budget(priced)
    budgets.count_all(NOW)
    use(priced, NOW, 300)
    budgets.count_all(NOW)
    assert base_of(budget) == "0"


def test_a_prepaid_tenants_wallet_is_a_hard_budget_of_all_it_paid_in(priced: Person) -> None:
    priced.tenant.prepaid = True
    priced.tenant.save()
    for amount in ("10.50", "-0.25"):
        WalletCredit.objects.create(tenant=priced.tenant, amount=Decimal(amount), note="transfer")
    [wallet] = budgets.all_budgets()
    assert (wallet.name, wallet.limit, wallet.hard) == (f"wallet:{priced.tenant.pk}", 10_250_000_000, True)
    assert (wallet.window, wallet.is_money) == ("total", True)


def test_a_wallet_credit_never_changes(priced: Person) -> None:
    credit = WalletCredit.objects.create(tenant=priced.tenant, amount=Decimal(10), note="transfer")
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        WalletCredit.objects.filter(pk=credit.pk).update(amount=20)
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        credit.delete()


def test_the_operator_pays_into_a_prepaid_wallet_only(priced: Person, olga: User, client: Client) -> None:
    client.force_login(olga)
    entered = {"tenant": priced.tenant.pk, "amount": "25", "note": "transfer"}
    assert b"Make it prepaid first" in client.post(reverse("admin:billing_walletcredit_add"), entered).content
    priced.tenant.prepaid = True
    priced.tenant.save()
    assert client.post(reverse("admin:billing_walletcredit_add"), entered).status_code == 302
    assert client.get(reverse("admin:billing_walletcredit_changelist")).status_code == 200
    assert client.get(reverse("admin:billing_budgetnotice_changelist")).status_code == 200


def spend(budget: Budget, spent: int, at: datetime = NOW) -> None:
    with counters() as store:
        store.hset(key_of(budget, at), mapping={BASE: "0", "journal": f"life 1 {spent} 100 9 0"})


def test_each_threshold_is_mailed_once_a_window(priced: Person) -> None:
    budget = new_budget(priced, notify_at_percent=[50, 80, 100])
    for spent, mails in ((499, 0), (800, 2), (900, 2), (1000, 3), (2000, 3)):
        spend(budget, spent)
        notices.notify(NOW)
        assert len(mail.outbox) == mails
    assert mail.outbox[0].to == [priced.tenant.invoice_email]
    assert "50 % of this budget are used" in mail.outbox[0].body
    assert "1,000 tokens" in mail.outbox[0].body
    later = NOW + timedelta(days=30)
    spend(budget, 600, later)
    notices.notify(later)
    assert len(mail.outbox) == 4


def test_a_notice_that_cannot_be_sent_is_tried_again_later(priced: Person, settings: Any) -> None:
    budget = new_budget(priced, notify_at_percent=[50])
    spend(budget, 600)
    backend, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, "no.such.backend"
    notices.notify(NOW)
    notice = BudgetNotice.objects.get()
    assert (notice.sent_at, notice.attempts) == (None, 1)
    settings.EMAIL_BACKEND = backend
    notices.notify(NOW)
    assert mail.outbox == []
    notices.notify(NOW + timedelta(minutes=2))
    assert len(mail.outbox) == 1
