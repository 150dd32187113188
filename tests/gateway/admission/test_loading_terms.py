"""Limits, budgets, wallets and prices reach a gateway from Postgres within a second, and come out of its file."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import pytest
from django.db import connection
from django.utils import timezone

from billing import publishing
from billing.models import PriceBook, Rate, WalletCredit
from billing.tariffs import tariff_of
from gateway.admission.terms import Draws, Terms
from gateway.loading import DatabaseSnapshots
from gateway.snapshot import build, unpack
from tenants.keys import digest
from tenants.models import Budget, Limit
from tests.billing.samples import LLAMA, PRICES, YEAR, new_version
from tests.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)


def within_a_second(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 1
    while not condition():
        assert time.monotonic() < deadline, "not within a second"
        time.sleep(0.01)


def test_what_limits_a_tenant_is_heeded_within_a_second(alice: Person, home: Path) -> None:
    given = connection.settings_dict
    url = f"postgresql://{given['USER']}@/{given['NAME']}?host={quote(given['HOST'], safe='/')}"
    book = PriceBook.objects.create(slug="standard", name="Standard", currency="USD")
    version = new_version(book, YEAR, PRICES)
    graduated = {"kind": "graduated", "amount": "0.30", "per": 1_000, "above": [5], "amounts_above": ["0.20"]}
    Rate.objects.create(version=version, offering=LLAMA, unit="image", grade="", service_tier="any", **graduated)
    publishing.publish(version)
    publishing.agree(alice.tenant, book, YEAR)
    snapshots = DatabaseSnapshots(url, home / "snapshot.msgpack", check_s=30)
    snapshots.start()

    def terms() -> Terms | None:
        assert snapshots.current is not None
        return snapshots.current.terms_of(snapshots.current.principals[digest(alice.secret)])

    def limit_of(draws: Draws) -> int | None:
        found = terms()
        return next((quota.limit for quota in found.quotas if quota.draws is draws), None) if found else None

    try:
        assert terms() is None
        ends = datetime(2031, 1, 1, tzinfo=UTC)
        limit = Limit.objects.create(tenant=alice.tenant, parallel_requests=9, ip_allowed=["::1"], expires_at=ends)
        within_a_second(lambda: limit_of(Draws.PARALLEL) == 9)
        Limit.objects.filter(pk=limit.pk).update(parallel_requests=4)
        within_a_second(lambda: limit_of(Draws.PARALLEL) == 4)
        Budget.objects.create(
            tenant=alice.tenant,
            window="day",
            kind="tokens",
            tokens=77,
            project=alice.project,
            counted_at=timezone.now(),
        )
        within_a_second(lambda: limit_of(Draws.TOKENS) == 77)
        alice.tenant.prepaid = True
        alice.tenant.save()
        WalletCredit.objects.create(tenant=alice.tenant, amount=Decimal("2.975"), note="transfer")
        within_a_second(lambda: limit_of(Draws.MONEY) == 2_500_000_000)
        found = terms()
        assert found is not None
        assert found.tariff is not None
        assert found.expires_at_us == int(ends.timestamp()) * 1_000_000
        assert found.tariff.prices(timezone.now()) == tariff_of(alice.tenant.pk).prices(timezone.now())
        assert found.tariff.price(timezone.now(), LLAMA, "image", "", "flex") is not None
        within_a_second(lambda: (home / "snapshot.msgpack").exists())
        saved = build(unpack((home / "snapshot.msgpack").read_bytes()))
        assert set(saved.limited) == {alice.tenant.pk}
    finally:
        snapshots.stop()
