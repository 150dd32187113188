"""The snapshot of a running gateway, from a real Postgres: fresh within a second, and there without it."""

import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from django.db import connection

from billing import publishing
from billing.models import PriceBook
from gateway.loading import DatabaseSnapshots
from providers.models import Deployment, Offering, Upstream
from tenants import registry
from tenants.keys import digest
from tests.billing.samples import LLAMA, PRICES, YEAR, new_version
from tests.conftest import Person

SECOND = 1.0
NOBODY = "postgresql://nobody@/nothing?host=/nonexistent"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def database_url(db: None) -> str:
    given = connection.settings_dict
    return f"postgresql://{given['USER']}@/{given['NAME']}?host={quote(given['HOST'], safe='/')}"


@pytest.fixture
def snapshots(database_url: str, home: Path, alice: Person) -> Iterator[DatabaseSnapshots]:
    snapshots = DatabaseSnapshots(database_url, home / "snapshot.msgpack", check_s=30)
    snapshots.start()
    yield snapshots
    snapshots.stop()


def within_a_second(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECOND
    while not condition():
        assert time.monotonic() < deadline, "not within a second"
        time.sleep(0.01)


def refusal(snapshots: DatabaseSnapshots, person: Person) -> str | None:
    assert snapshots.current is not None
    return snapshots.current.principals[digest(person.secret)].refusal


def execute(sql: str, *values: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def test_a_key_revoked_in_sql_stops_within_a_second(snapshots: DatabaseSnapshots, alice: Person) -> None:
    assert refusal(snapshots, alice) is None
    execute("UPDATE tenants_apikey SET revoked_at = now() WHERE id = %s", alice.key.pk)
    within_a_second(lambda: refusal(snapshots, alice) == "revoked")


def test_a_tenant_suspended_in_sql_stops_within_a_second(snapshots: DatabaseSnapshots, alice: Person) -> None:
    execute("UPDATE tenants_tenant SET status = 'suspended' WHERE id = %s", alice.tenant.pk)
    within_a_second(lambda: refusal(snapshots, alice) == "suspended")


def test_changes_one_upon_the_other_are_all_seen(snapshots: DatabaseSnapshots, alice: Person) -> None:
    issued = [registry.issue_key(alice.project, f"key {place}") for place in range(20)]
    digests = {digest(each.secret) for each in issued}
    within_a_second(lambda: snapshots.current and digests <= set(snapshots.current.principals))


def test_a_model_comes_into_being_with_its_price(snapshots: DatabaseSnapshots, alice: Person, mallory: Person) -> None:
    upstream = Upstream.objects.create(slug="pool", name="Pool")
    offering = Offering.objects.create(name=LLAMA)
    Deployment.objects.create(slug="at-pool", offering=offering, upstream=upstream, model_name="m")
    within_a_second(lambda: snapshots.current and LLAMA in snapshots.current.sold)
    assert snapshots.current is not None
    assert snapshots.current.sold_to(alice.tenant.pk, LLAMA) is None
    book = PriceBook.objects.create(slug="standard", name="Standard", currency="USD")
    publishing.publish(new_version(book, YEAR, PRICES))
    publishing.agree(alice.tenant, book, YEAR)
    within_a_second(lambda: snapshots.current and snapshots.current.sold_to(alice.tenant.pk, LLAMA))
    assert snapshots.current.sold_to(mallory.tenant.pk, LLAMA) is None


def test_the_saved_file_may_be_read_by_this_user_only(snapshots: DatabaseSnapshots, home: Path) -> None:
    saved = home / "snapshot.msgpack"
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert list(home.iterdir()) == [saved]


def test_a_gateway_starts_without_the_database_from_what_it_saved(
    snapshots: DatabaseSnapshots, home: Path, alice: Person
) -> None:
    later = DatabaseSnapshots(NOBODY, home / "snapshot.msgpack", check_s=30)
    later.start()
    assert later.current == snapshots.current
    assert later.age_us() is None
    later.stop()


def test_its_age_begins_anew_when_it_was_compared_with_the_database(snapshots: DatabaseSnapshots) -> None:
    def age_us() -> int:
        age_us = snapshots.age_us()
        assert age_us is not None
        return age_us

    first = age_us()
    within_a_second(lambda: age_us() > first)
    before = time.monotonic_ns()
    execute("NOTIFY tokenworks_snapshot")
    within_a_second(lambda: age_us() <= (time.monotonic_ns() - before) // 1000)


def test_without_database_and_file_there_is_no_snapshot(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.loading.FIRST_LOAD_WAIT_S", 0.1)
    snapshots = DatabaseSnapshots(NOBODY, home / "snapshot.msgpack", check_s=30)
    snapshots.start()
    assert snapshots.current is None
    snapshots.stop()


def test_a_damaged_file_is_replaced_from_the_database(database_url: str, home: Path, alice: Person) -> None:
    (home / "snapshot.msgpack").write_bytes(b"garbage")
    snapshots = DatabaseSnapshots(database_url, home / "snapshot.msgpack", check_s=30)
    snapshots.start()
    assert refusal(snapshots, alice) is None
    snapshots.stop()


def test_a_lost_connection_is_made_again_and_nothing_is_missed(
    snapshots: DatabaseSnapshots, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.loading.RETRY_S", 0.05)
    execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%%'"
        " AND datname = current_database()"
    )
    execute("UPDATE tenants_apikey SET revoked_at = now() WHERE id = %s", alice.key.pk)
    within_a_second(lambda: refusal(snapshots, alice) == "revoked")


def test_what_nobody_announced_is_seen_at_the_next_check(database_url: str, home: Path, alice: Person) -> None:
    snapshots = DatabaseSnapshots(database_url, home / "snapshot.msgpack", check_s=0.1)
    snapshots.start()
    execute("ALTER TABLE tenants_apikey DISABLE TRIGGER USER")
    try:
        execute("UPDATE tenants_apikey SET revoked_at = now() WHERE id = %s", alice.key.pk)
        within_a_second(lambda: refusal(snapshots, alice) == "revoked")
    finally:
        execute("ALTER TABLE tenants_apikey ENABLE TRIGGER USER")
        snapshots.stop()
