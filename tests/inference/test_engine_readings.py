"""Workers' pages of metrics as they come over HTTP, good and bad."""

import socket
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from inference import engine_readings
from inference.models import Pool, Worker, WorkerReading
from tests.inference.pages import Pages, serving_pages
from tests.metering.threads import at_once

pytestmark = pytest.mark.django_db

VLLM = b'vllm:prompt_tokens_total{model_name="m"} 70.0\nvllm:generation_tokens_total{model_name="m"} 30.0\n'
TRTLLM = b"trtllm_prompt_tokens_total 7\ntrtllm_generation_tokens_total 3\n"
NIM = b"prompt_tokens_total 7\ngeneration_tokens_total 3\n"


@pytest.fixture
def pages() -> Pages:
    return {"/metrics": (200, VLLM)}


@pytest.fixture
def url(pages: Pages) -> Iterator[str]:
    with serving_pages(pages) as base_url:
        yield base_url


@pytest.fixture
def worker(pool: Pool, url: str) -> Worker:
    return Worker.objects.create(pool=pool, base_url=url, engine="vllm")


def problem_of(worker: Worker) -> str:
    """Read, and return why there are no counts; there must be a reading that says so."""
    assert engine_readings.read_all() == 0
    reading = WorkerReading.objects.get(worker=worker)
    assert (reading.prompt_tokens, reading.generation_tokens) == (None, None)
    return reading.problem


def test_a_reading_has_the_engines_counts(worker: Worker) -> None:
    assert engine_readings.read_all() == 1
    reading = WorkerReading.objects.get()
    assert (reading.worker, reading.prompt_tokens, reading.generation_tokens) == (worker, 70, 30)
    assert (reading.engine, reading.problem) == ("vLLM", "")


@pytest.mark.parametrize(("path", "page"), [("/prometheus/metrics", TRTLLM), ("/v1/metrics", NIM)])
@pytest.mark.parametrize("first", [(404, b""), (200, b'[{"iter": 5}]')])
def test_pages_at_other_places_are_found(
    worker: Worker, pages: Pages, path: str, page: bytes, first: tuple[int, bytes]
) -> None:
    pages.update({"/metrics": first, path: (200, page)})
    assert engine_readings.read_all() == 1
    assert WorkerReading.objects.get().prompt_tokens == 7


def test_text_on_the_page_is_a_problem_with_its_reason(worker: Worker, pages: Pages) -> None:
    pages["/metrics"] = (200, b"It works!\x00\xff")
    assert "Turn the engine's metrics on" in problem_of(worker)


def test_a_count_that_is_none_is_a_problem_with_its_reason(worker: Worker, pages: Pages) -> None:
    pages["/metrics"] = (200, VLLM.replace(b"70.0", b"lots\x00"))
    assert "which is no count of tokens" in problem_of(worker)


@pytest.mark.parametrize("status", [500, 302, 204])
def test_a_bad_status_is_a_problem_and_no_redirect_is_followed(worker: Worker, pages: Pages, status: int) -> None:
    pages.update({"/metrics": (status, b""), "/elsewhere": (200, VLLM)})
    assert f"status {status}" in problem_of(worker)


def test_a_page_over_the_limit_is_a_problem(worker: Worker, pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_readings, "PAGE_BYTES_MAX", 1000)
    pages["/metrics"] = (200, VLLM + b"#" * 1000)
    assert "longer than 1,000 bytes" in problem_of(worker)


def test_a_worker_that_says_nothing_is_given_up(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_readings, "PAGE_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        worker = Worker.objects.create(pool=pool, base_url=f"http://127.0.0.1:{silent.getsockname()[1]}", engine="vllm")
        assert "Timeout" in problem_of(worker)


def test_a_worker_that_is_away_keeps_no_other_unread(worker: Worker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    away = Worker.objects.create(pool=worker.pool, base_url=nobody, engine="vllm")
    assert engine_readings.read_all() == 1
    assert "ConnectError" in WorkerReading.objects.get(worker=away).problem
    assert WorkerReading.objects.get(worker=worker).problem == ""


def test_workers_that_are_not_enabled_are_not_read(worker: Worker) -> None:
    Worker.objects.update(enabled=False)
    assert engine_readings.read_all() == 0
    assert not WorkerReading.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_runs_at_once_make_one_reading(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    beside: list[object] = []
    ask = engine_readings.ask

    def slow(base_url: str) -> engine_readings.Answer:
        beside.extend(at_once(engine_readings.read_all))
        return ask(base_url)

    monkeypatch.setattr(engine_readings, "ask", slow)
    assert engine_readings.read_all() == 1
    assert beside == [0]
    assert WorkerReading.objects.count() == 1


def test_old_readings_are_forgotten(worker: Worker) -> None:
    engine_readings.read_all()
    WorkerReading.objects.update(at=timezone.now() - timedelta(days=8))
    engine_readings.read_all()
    assert engine_readings.forget_old() == 1
    assert WorkerReading.objects.count() == 1
