from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from inference import engine_hours
from inference.models import HOUR, EngineHour, Hardware, Pool, PoolHour, Worker, WorkerReading
from inference.pool_hours import allocate_hour
from tests.inference.samples import NOON, Use

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client, olga: User) -> Client:
    client.force_login(olga)
    return client


@pytest.mark.parametrize("table", ["hardware", "pool", "worker", "poolhour", "enginehour", "workerreading"])
def test_every_list_opens(page: Client, pool: Pool, use: Use, table: str) -> None:
    use(72_000)
    allocate_hour(pool, NOON)
    worker = Worker.objects.create(pool=pool, base_url="http://gpu", engine="simulator")
    WorkerReading.objects.create(worker=worker, at=NOON, problem="ConnectError: refused")
    engine_hours.compare(pool, NOON, NOON + HOUR)
    assert page.get(reverse(f"admin:inference_{table}_changelist")).status_code == 200


def test_simulated_workers_are_labelled_in_the_list(page: Client, pool: Pool) -> None:
    Worker.objects.create(pool=pool, base_url="http://gpu", engine="simulator")
    assert b"simulated" in page.get(reverse("admin:inference_worker_changelist")).content.lower()


def test_a_pool_hour_shows_its_shares_and_cannot_be_edited(page: Client, pool: Pool, use: Use) -> None:
    use(72_000)
    row = allocate_hour(pool, NOON)
    address = reverse("admin:inference_poolhour_change", args=[row.pk])
    assert b"0.36" in page.get(address).content
    assert page.post(address, {"cost": "0"}).status_code == 403
    assert page.post(reverse("admin:inference_poolhour_delete", args=[row.pk])).status_code == 403
    assert page.get(reverse("admin:inference_poolhour_add")).status_code == 403
    assert PoolHour.objects.get().cost == row.cost


def test_a_wrong_figure_is_answered_with_its_remedy(page: Client, hardware: Hardware) -> None:
    address = reverse("admin:inference_hardware_change", args=[hardware.pk])
    form = page.get(address).context["adminform"].form
    answer = page.post(address, {**form.initial, "pue": "0.5"})
    assert b"Give 1 or more" in answer.content
    hardware.refresh_from_db()
    assert hardware.pue == 1


def test_an_operator_adds_a_worker_to_a_pool(page: Client, pool: Pool) -> None:
    answer = page.post(
        reverse("admin:inference_worker_add"),
        {"pool": pool.pk, "base_url": "http://127.0.0.1:9101", "engine": "vllm", "enabled": "on"},
    )
    assert answer.status_code == 302
    assert Worker.objects.get().pool == pool


@pytest.mark.parametrize(
    ("change", "state"),
    [({"gap_s": 60}, "not whole"), ({"gap_s": 0, "drifts": True}, "drifts"), ({"gap_s": 0}, "agrees")],
)
def test_the_reconciliation_says_of_each_hour_whether_engine_and_events_agree(
    page: Client, pool: Pool, change: dict[str, Any], state: str
) -> None:
    Worker.objects.create(pool=pool, base_url="http://gpu", engine="simulator")
    row = engine_hours.compare(pool, NOON, NOON + HOUR)
    EngineHour.objects.update(**change)
    EngineHour.objects.update(engine_input=2_400_000, our_input=2_000_000, engine_output=1, our_output=3)
    listed = page.get(reverse("admin:inference_enginehour_changelist")).text
    assert state in listed
    assert "+400,000 (16.6\N{NO-BREAK SPACE}%)" in listed
    assert "-2 (66.6\N{NO-BREAK SPACE}%)" in listed
    assert page.post(reverse("admin:inference_enginehour_add")).status_code == 403
    assert row.workers == 1
