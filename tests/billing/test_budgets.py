"""Counters begin with what the buckets say, in Valkey; thresholds are mailed once a window."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from billing import budgets, closing, notices, wallets
from billing.counters import began_ms, counters
from billing.models import BudgetNotice, TaxRate, WalletCredit
from billing.windows import BASE, counter_key, window_at
from metering.models import Bucket
from tenants.models import Budget
from tenants.snapshot import BudgetRow
from tests.billing.samples import LLAMA, YEAR, add_usage
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


def wallet_of(person: Person, *filled: dict[str, Any]) -> BudgetRow:
    person.tenant.prepaid = True
    person.tenant.save()
    for given in filled:
        wallets.pay_in(WalletCredit(tenant=person.tenant, note="transfer", **given))
    [wallet] = budgets.all_budgets()
    return wallet


def test_a_prepaid_tenants_wallet_is_a_hard_budget_of_what_it_affords_before_tax(priced: Person) -> None:
    """Of 11.90 bought, 1.90 are for the tax of 19 %; grants come before tax."""
    wallet = wallet_of(priced, {"amount": Decimal("11.90")}, {"amount": Decimal("2.50"), "kind": "granted"})
    assert (wallet.name, wallet.limit, wallet.hard) == (f"wallet:{priced.tenant.pk}", 12_500_000_000, True)
    assert (wallet.window, wallet.is_money) == ("total", True)


def test_a_tenant_without_a_rate_of_its_own_keeps_back_the_highest_that_may_hold(priced: Person) -> None:
    priced.tenant.tax_rate_percent = None
    TaxRate.objects.all().delete()
    for country, percent in (("DE", "19"), ("FR", "20"), ("HU", "27")):
        TaxRate.objects.create(country=country, valid_from=YEAR.date(), percent=percent, source="test")
    priced.tenant.country = "FR"
    assert wallet_of(priced, {"amount": Decimal(12)}).limit == 10_000_000_000


@pytest.mark.parametrize(
    ("offerings", "limit"), [([LLAMA], 5_000_000_000), (["qwen"], 0), (["qwen", LLAMA], 5_000_000_000)]
)
def test_a_restricted_credit_counts_where_it_pays_for_all_that_the_plan_prices(
    priced: Person, offerings: list[str], limit: int
) -> None:
    given = {"amount": Decimal(5), "kind": "granted", "offerings": offerings}
    assert wallet_of(priced, given).limit == limit


def test_a_credit_that_expired_counts_no_more(priced: Person) -> None:
    WalletCredit.objects.create(tenant=priced.tenant, amount=5, note="x", expires_at=YEAR)
    assert wallet_of(priced).limit == 0


@pytest.mark.django_db(transaction=True)
def test_a_closing_lets_the_wallet_count_anew_with_what_the_invoice_left(priced: Person) -> None:
    """USD 10.00 of November are drawn with their tax, 2.40 of December are used since."""
    wallet = wallet_of(priced, {"amount": Decimal("23.80")})
    assert wallet.limit == 20_000_000_000
    add_usage(priced.project, datetime(2031, 5, 10, tzinfo=UTC), "input_uncached", 16_666_667)  # 10.0000002
    add_usage(priced.project, datetime(2031, 6, 2, tzinfo=UTC), "output", 1_000_000)
    closing.close(priced.tenant, date(2031, 5, 1), now=datetime(2031, 6, 5, tzinfo=UTC))
    [wallet] = budgets.all_budgets()
    assert wallet.limit == 10_000_000_000
    window = window_at("total", "UTC", wallet.since_s, NOW)
    assert datetime.fromtimestamp(window.start_s, UTC) == datetime(2031, 5, 31, 22, tzinfo=UTC)  # June in Berlin.
    with counters() as store:
        assert store.hget(counter_key(wallet.name, window), BASE) == "2400000000"


def test_a_wallet_credit_never_changes(priced: Person) -> None:
    credit = WalletCredit.objects.create(tenant=priced.tenant, amount=Decimal(10), note="transfer")
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        WalletCredit.objects.filter(pk=credit.pk).update(amount=20)
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        credit.delete()


def test_the_operator_pays_into_a_prepaid_wallet_only(priced: Person, olga: User, client: Client) -> None:
    client.force_login(olga)
    entered = {"tenant": priced.tenant.pk, "kind": "bought", "amount": "25", "note": "transfer", "priority": "0"}
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
