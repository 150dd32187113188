"""Own pool first, overflow when its queue is too long: one row in Postgres, heeded by a gateway that runs."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from django.db import connection

from billing import publishing
from billing.models import PriceBook
from gateway.loading import DatabaseSnapshots
from inference.models import Hardware, Pool, Worker
from providers.models import Deployment, Offering, Upstream
from providers.snapshot import Deployment as DeploymentRow
from tests.billing.samples import LLAMA, PRICES, YEAR, new_version
from tests.conftest import Person
from tests.gateway.collector import CLIENT, SERVER, Collector, running_collector
from tests.gateway.running import Running, chat, post, running_gateway, until
from tests.gateway.test_health import metrics
from tests.gateway.test_metrics import SECRET, values
from tests.gateway.test_rerouting import Held
from tests.gateway.upstreams import Upstream as FakeWorker
from tests.gateway.upstreams import completion, running_upstream, says, whole

pytestmark = pytest.mark.django_db(transaction=True)

GOOD = says(whole(completion()))
RUNNING_MAX = 2  # Requests that the own worker runs at once.


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with running_collector() as collector:
        yield collector


@pytest.fixture
async def other() -> AsyncIterator[FakeWorker]:
    async with running_upstream() as other:
        yield other


@pytest.fixture
def rows(db: None, upstream: FakeWorker, other: FakeWorker, alice: Person) -> None:
    """One offering at two deployments, the own one first. No deployment overflows yet."""
    hardware = Hardware.objects.create(
        name="H100",
        device="H100",
        ownership="rented",
        rent_per_hour=Decimal(1),
        source="a contract",
        as_of=date(2026, 3, 1),
    )
    offering = Offering.objects.create(name=LLAMA)
    for priority, (slug, worker) in enumerate((("own", upstream), ("bought", other))):
        place = Upstream.objects.create(slug=slug, name=slug)
        pool = Pool.objects.create(
            upstream=place, hardware=hardware, devices=1, input_ns_per_token=1, output_ns_per_token=1
        )
        Worker.objects.create(
            pool=pool, base_url=worker.base_url, engine="vllm", requests_running_max=None if priority else RUNNING_MAX
        )
        Deployment.objects.create(slug=slug, offering=offering, upstream=place, model_name="m", priority=priority)
    book = PriceBook.objects.create(slug="standard", name="Standard", currency="USD")
    publishing.publish(new_version(book, YEAR, PRICES))
    publishing.agree(alice.tenant, book, YEAR)


@pytest.fixture
def database_url(rows: None) -> str:
    given = connection.settings_dict
    return f"postgresql://{given['USER']}@/{given['NAME']}?host={quote(given['HOST'], safe='/')}"


@asynccontextmanager
async def gateway_of(
    database_url: str, home: Path, *, spans_url: str = "", probe_interval_s: float = 0
) -> AsyncIterator[Running]:
    snapshots = DatabaseSnapshots(database_url, home / "snapshot.msgpack", check_s=30)
    async with running_gateway(
        home, snapshots, metrics_secret=SECRET, spans_url=spans_url, probe_interval_s=probe_interval_s
    ) as gateway:
        yield gateway


async def let_overflow(gateway: Running, database_url: str, queue_max: int | None) -> None:
    """Write the own deployment's row, and wait until the gateway knows it."""
    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute("UPDATE providers_deployment SET overflow_queue_max = %s WHERE slug = 'own'", (queue_max,))
    await until(lambda: seen_by(gateway).overflow_queue_max == queue_max)


def seen_by(gateway: Running) -> DeploymentRow:
    """The own deployment, as the gateway's snapshot has it."""
    snapshot = gateway.gateway._snapshots.current
    assert snapshot is not None
    return snapshot.sold[LLAMA].tiers[0][0].deployment


async def answered_by(gateway: Running, alice: Person) -> str:
    """The deployment that answers the next request, as its event says."""
    before = len(gateway.events())
    assert (await post(gateway, chat(), key=alice.secret)).status == 200
    (event,) = gateway.events()[before:]
    return event.opened.deployment


async def test_a_row_sends_requests_to_the_other_deployment_while_the_queue_is_too_long(
    database_url: str, home: Path, alice: Person, upstream: FakeWorker, other: FakeWorker, collector: Collector
) -> None:
    held = upstream.answer = Held()
    other.answer = GOOD
    async with gateway_of(database_url, home, spans_url=collector.url) as gateway:
        calls = []
        for number in range(1, RUNNING_MAX + 4):  # Without a figure in the row the queue grows.
            calls.append(asyncio.ensure_future(post(gateway, chat(), key=alice.secret)))
            await until(lambda number=number: len(upstream.received) == number)
        await let_overflow(gateway, database_url, 2)
        assert [await answered_by(gateway, alice) for _ in range(2)] == ["bought"] * 2
        held.go.set()
        assert {each.status for each in await asyncio.gather(*calls)} == {200}
        assert [await answered_by(gateway, alice) for _ in range(2)] == ["own"] * 2
        found = await values(gateway)
        recorded = Counter(each.opened.deployment for each in gateway.events())
    assert recorded == {"own": RUNNING_MAX + 3 + 2, "bought": 2}
    for slug, count in recorded.items():
        ended = f'tokenworks_requests_total{{offering="{LLAMA}",deployment="{slug}",outcome="completed"}}'
        assert found[ended] == count
    for kind in (SERVER, CLIENT):
        assert Counter(each.says["tokenworks.deployment"] for each in collector.of_kind(kind)) == recorded


async def test_a_row_heeds_the_queue_that_the_engine_reports_where_nobody_said_how_many_it_runs(
    database_url: str, home: Path, alice: Person, upstream: FakeWorker, other: FakeWorker
) -> None:
    upstream.answer = other.answer = GOOD
    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute("UPDATE inference_worker SET requests_running_max = NULL")
        database.execute("UPDATE providers_deployment SET overflow_queue_max = 8 WHERE slug = 'own'")
    async with gateway_of(database_url, home, probe_interval_s=0.01) as gateway:
        for waiting, expected in ((8, "own"), (9, "bought"), (0, "own")):
            upstream.pages = {"/health": whole(b""), "/metrics": metrics(64, waiting)}
            seen = len(upstream.asked)
            await until(lambda seen=seen: len(upstream.asked) >= seen + 5)  # Two whole rounds.
            assert await answered_by(gateway, alice) == expected
        upstream.pages["/metrics"] = metrics(64, 9)
        await let_overflow(gateway, database_url, None)
        assert await answered_by(gateway, alice) == "own"
