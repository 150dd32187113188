import pytest
from django.db import connection

from inference.models import Pool, Worker
from inference.snapshot import WORKERS_SQL
from inference.snapshot import Worker as SeenWorker

pytestmark = pytest.mark.django_db


@pytest.fixture
def worker(pool: Pool) -> Worker:
    return Worker.objects.create(
        pool=pool, base_url="http://127.0.0.1:9101", engine="simulator", requests_running_max=8
    )


def seen() -> list[SeenWorker]:
    with connection.cursor() as cursor:
        cursor.execute(WORKERS_SQL)
        return [SeenWorker(*row) for row in cursor.fetchall()]


def test_the_gateway_sees_the_workers_of_an_upstream(worker: Worker) -> None:
    assert seen() == [SeenWorker("berlin", "http://127.0.0.1:9101", "simulator", 8)]


def test_a_disabled_worker_is_not_seen(worker: Worker) -> None:
    Worker.objects.update(enabled=False)
    assert seen() == []


def test_workers_of_a_disabled_upstream_are_not_seen(worker: Worker) -> None:
    upstream = worker.pool.upstream
    upstream.enabled = False
    upstream.save()
    assert seen() == []


def test_gateways_are_told_of_changes_to_pools_and_workers(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE %s", ["inference_%_snapshot"])
        assert {table for (table,) in cursor.fetchall()} == {"inference_pool", "inference_worker"}
