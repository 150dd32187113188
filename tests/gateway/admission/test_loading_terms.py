"""Limits, budgets, wallets and prices reach a gateway from Postgres within a second, and come out of its file."""

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
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_limits_a_tenant_is_heeded_long_before_the_next_check(alice: Person, home: Path) -> None:
    given = connection.settings_dict
    url = f"postgresql://{given['USER']}@/{given['NAME']}?host={quote(given['HOST'], safe='/')}"
    book = PriceBook.objects.create(slug="standard", name="Standard", currency="USD")
    version = new_version(book, YEAR, PRICES)
    graduated = {"kind": "graduated", "amount": "0.30", "per": 1_000, "above": [5], "amounts_above": ["0.20"]}
    Rate.objects.create(version=version, offering=LLAMA, unit="image", grade="", service_tier="any", **graduated)
    publishing.publish(version)
    publishing.agree(alice.tenant, book, YEAR)
    snapshots = DatabaseSnapshots(url, home / "snapshot.msgpack", check_s=3600)
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
        until(lambda: limit_of(Draws.PARALLEL) == 9, "the snapshot has it")
        Limit.objects.filter(pk=limit.pk).update(parallel_requests=4)
        until(lambda: limit_of(Draws.PARALLEL) == 4, "the snapshot has it")
        Budget.objects.create(
            tenant=alice.tenant,
            window="day",
            kind="tokens",
            tokens=77,
            project=alice.project,
            counted_at=timezone.now(),
        )
        until(lambda: limit_of(Draws.TOKENS) == 77, "the snapshot has it")
        alice.tenant.prepaid = True
        alice.tenant.save()
        WalletCredit.objects.create(tenant=alice.tenant, amount=Decimal("2.975"), note="transfer")
        until(lambda: limit_of(Draws.MONEY) == 2_500_000_000, "the snapshot has it")
        found = terms()
        assert found is not None
        assert found.tariff is not None
        assert found.expires_at_us == int(ends.timestamp()) * 1_000_000
        assert found.tariff.prices(timezone.now()) == tariff_of(alice.tenant.pk).prices(timezone.now())
        assert found.tariff.price(timezone.now(), LLAMA, "image", "", "flex") is not None
        until(lambda: (home / "snapshot.msgpack").exists(), "the snapshot has it")
        saved = build(unpack((home / "snapshot.msgpack").read_bytes()))
        assert set(saved.limited) == {alice.tenant.pk}
    finally:
        snapshots.stop()
