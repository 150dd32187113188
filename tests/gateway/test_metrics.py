"""What a gateway tells Prometheus is what was sent through it, and it tells nobody else."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import settings
from gateway.metrics.counts import BOUNDS_US, OFFERINGS_MAX, OUTCOMES_MAX, Counts
from gateway.metrics.exposition import Family, Sample, histogram_samples, page, seconds
from gateway.metrics.watch import shown
from gateway.snapshot import build
from metering.records import Closed, Opened
from metering.usage import REPORTED_UNITS, Usage
from tests.gateway.running import (
    ALICE_KEY,
    MALLORY_KEY,
    MODEL,
    TIMEOUT_S,
    Answered,
    FixedSnapshots,
    Running,
    chat,
    exchange,
    http_request,
    post,
    rows,
    running_gateway,
    until,
)
from tests.gateway.upstreams import Upstream, completion, says, streams, vllm_stream, whole

SECRET = "what-prometheus-knows-and-nobody-else"
ANSWERED_BY = f'offering="{MODEL}",deployment="llama-at-pool"'
LINE = re.compile(r'^([a-z_]+)((?:\{(?:[a-z]+="(?:[^"\\\n]|\\.)*",?)+\})?) (-?[0-9.]+)$')


@pytest.fixture
async def watched(home: Path, snapshots: FixedSnapshots) -> AsyncIterator[Running]:
    async with running_gateway(home, snapshots, metrics_secret=SECRET) as gateway:
        yield gateway


async def asked(gateway: Running, key: str | None = SECRET, method: str = "GET") -> Answered:
    return await exchange(gateway.port, http_request(method=method, path="/metrics", key=key))


async def values(gateway: Running) -> dict[str, float]:
    """Each line of the page by its name and labels; a line that Prometheus could not read fails the test."""
    answered = await asked(gateway)
    assert (answered.status, answered.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found: dict[str, float] = {}
    for line in answered.body.decode().splitlines():
        if not line.startswith(("# HELP ", "# TYPE ")):
            match = LINE.match(line)
            assert match, line
            assert match[1] + match[2] not in found, "a line stands there twice"
            found[match[1] + match[2]] = float(match[3])
    return found


async def test_requests_tokens_and_times_are_those_of_the_recorded_events(watched: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    for _ in range(2):
        assert (await post(watched, chat())).status == 200
    upstream.answer = streams(*vllm_stream(["a", "b", "c"]))
    assert (await post(watched, chat(stream=True))).status == 200
    upstream.answer = says(whole(b'{"error":{"message":"too long"}}', status="400 Bad Request"))
    assert (await post(watched, chat())).status == 400
    found, events = await values(watched), watched.events()
    assert found[f'tokenworks_requests_total{{{ANSWERED_BY},outcome="completed"}}'] == 3
    assert found[f'tokenworks_requests_total{{{ANSWERED_BY},outcome="upstream_rejected"}}'] == 1
    for unit in REPORTED_UNITS:
        recorded = sum(getattr(event.usage, unit) or 0 for event in events)
        assert found.get(f'tokenworks_tokens_total{{offering="{MODEL}",unit="{unit}"}}', 0) == recorded
    assert found[f'tokenworks_tokens_total{{offering="{MODEL}",unit="output"}}'] > 0
    durations = [event.closed_at_us - event.opened.opened_at_us for event in events]
    assert found[f'tokenworks_duration_seconds_sum{{offering="{MODEL}"}}'] == pytest.approx(sum(durations) / 1e6)
    assert found[f'tokenworks_duration_seconds_count{{offering="{MODEL}"}}'] == 4
    waited = [event for event in events if event.first_byte_at_us is not None]
    assert found[f'tokenworks_first_byte_seconds_count{{offering="{MODEL}"}}'] == len(waited) > 0
    assert found["tokenworks_journal_records_total"] == len(watched.records())
    assert found["tokenworks_journal_bytes"] == sum(
        path.stat().st_size for path in (watched.home / "journal" / "gateway-1").glob("*.journal")
    )
    assert found["tokenworks_snapshot_age_seconds"] == 1.5
    assert found["tokenworks_counter_calls_total"] == found["tokenworks_counters_away"] == 0


async def test_refusals_are_counted_by_their_code(watched: Running, upstream: Upstream) -> None:
    await post(watched, b"{")
    for _ in range(2):
        await post(watched, chat(), key="sk-tw-nobody")
    await post(watched, chat(), key=MALLORY_KEY)
    found = await values(watched)
    assert {line: count for line, count in found.items() if "refusals" in line} == {
        'tokenworks_refusals_total{code="bad_request"}': 1,
        'tokenworks_refusals_total{code="invalid_api_key"}': 2,
        'tokenworks_refusals_total{code="model_not_found"}': 1,
    }
    assert upstream.received == []


async def told_of_a_head_that_goes_on(gateway: Running, begin: bytes, more: bytes) -> bytes:
    """The first line of what a caller is told who begins so and goes on until it is told something."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(begin)
    told = asyncio.ensure_future(reader.readline())
    async with asyncio.timeout(TIMEOUT_S):
        while not (await asyncio.wait({told}, timeout=0.001))[0]:
            writer.write(more)
    writer.close()
    return told.result()


async def test_what_never_became_a_request_is_counted_as_well(home: Path, snapshots: FixedSnapshots) -> None:
    async with running_gateway(home, snapshots, request_timeout_s=1, metrics_secret=SECRET) as gateway:
        assert b" 400 " in await told_of_a_head_that_goes_on(gateway, b"nonsense\r\n\r\n", b"")
        assert b" 408 " in await told_of_a_head_that_goes_on(gateway, b"GET / HTTP/1.1\r\n", b"")
        assert b" 431 " in await told_of_a_head_that_goes_on(gateway, b"GET / HTTP/1.1\r\nx: ", b"y" * 8192)
        found = await values(gateway)
    assert {line: count for line, count in found.items() if "refusals" in line} == {
        'tokenworks_refusals_total{code="invalid_http"}': 1,
        'tokenworks_refusals_total{code="head_too_large"}': 1,
        'tokenworks_refusals_total{code="request_timeout"}': 1,
    }


async def test_workers_show_their_requests_connections_and_breakers(watched: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    await post(watched, chat())
    found = await values(watched)
    worker = f'worker="{upstream.base_url}"'
    assert found[f"tokenworks_upstream_connections{{{worker}}}"] == 1
    assert found[f"tokenworks_worker_requests_open{{{worker}}}"] == found["tokenworks_requests_open"] == 0
    assert found[f'tokenworks_worker_breaker{{{worker},state="closed"}}'] == 1
    assert found[f'tokenworks_worker_breaker{{{worker},state="open"}}'] == 0


async def test_a_second_attempt_is_a_retry_and_an_event_of_its_own(home: Path, upstream: Upstream) -> None:
    upstream.answer = says(whole(b"{}", status="500 Internal Server Error"))
    snapshots = FixedSnapshots(build(rows(upstream.base_url, f"{upstream.base_url}/")))
    async with running_gateway(home, snapshots, metrics_secret=SECRET) as gateway:
        for _ in range(3):
            assert (await post(gateway, chat())).status == 502
        found = await values(gateway)
        failed = [event for event in gateway.events() if event.outcome == "upstream_failed"]
    assert found[f'tokenworks_requests_total{{{ANSWERED_BY},outcome="upstream_failed"}}'] == len(failed) == 6
    assert found["tokenworks_retries_total"] == 3
    assert found['tokenworks_refusals_total{code="upstream_failed"}'] == 3


async def test_a_worker_that_is_not_there_shows_an_open_breaker(home: Path) -> None:
    dead = "http://127.0.0.1:9"
    async with running_gateway(home, FixedSnapshots(build(rows(dead))), metrics_secret=SECRET) as gateway:
        assert (await post(gateway, chat())).status == 503
        found = await values(gateway)
    assert found[f'tokenworks_worker_breaker{{worker="{dead}",state="open"}}'] == 1
    assert found[f'tokenworks_worker_breaker{{worker="{dead}",state="closed"}}'] == 0
    assert found['tokenworks_refusals_total{code="no_worker"}'] == 1


async def test_what_a_start_recovered_is_shown(home: Path, upstream: Upstream) -> None:
    folder = home / "journal" / "gateway-1"
    snapshots = FixedSnapshots(build(rows(upstream.base_url)))
    upstream.answer = says(whole(completion()))
    async with running_gateway(home, snapshots) as gateway:
        await post(gateway, chat())
    with max(folder.glob("*.journal")).open("ab") as segment:
        segment.write(b"torn!")
    async with running_gateway(home, snapshots, metrics_secret=SECRET, journal_fsync_ms=10) as gateway:
        found = await values(gateway)
        journal = gateway.gateway.watch.plane.journal  # type: ignore[union-attr]  # metrics are on
        since_start = journal.unsynced_us
        await until(lambda: journal.unsynced_us < since_start)
    assert found["tokenworks_journal_recovered_bytes_cut"] == 5
    assert found["tokenworks_journal_recovered_requests"] == 0


@pytest.mark.parametrize("key", [None, "", "wrong", ALICE_KEY, SECRET[:-1], SECRET + "x"])
async def test_strangers_and_tenants_are_refused(watched: Running, key: str | None) -> None:
    answered = await asked(watched, key)
    assert (answered.status, answered.error["code"]) == (401, "invalid_metrics_secret")
    assert b"tokenworks_requests" not in answered.body


async def test_the_page_takes_get_only(watched: Running) -> None:
    assert (await asked(watched, method="POST")).status == 405


async def test_no_label_names_a_tenant(watched: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    await post(watched, chat())
    body = (await asked(watched)).body
    assert set(re.findall(rb'[{,]([a-z]+)="', body)) == {
        b"offering", b"deployment", b"outcome", b"unit", b"le", b"worker", b"state",
    }  # fmt: skip
    assert b"acme" not in body


async def test_off_there_is_no_page_and_nothing_is_counted(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    await post(gateway, chat())
    answered = await asked(gateway, ALICE_KEY)
    assert (answered.status, answered.error["code"]) == (404, "unknown_url")
    assert gateway.gateway.watch is None


def test_off_the_web_process_loads_nothing_of_it(home: Path) -> None:
    script = "import sys, config.asgi; print(json.dumps([name for name in sys.modules if 'gateway.metrics' in name]))"
    assert json.loads(run_with(home, f"import json; {script}", TOKENWORKS_PLANES="gateway").stdout) == []


@pytest.mark.parametrize(("secret", "problem"), [("", "is missing"), ("x" * 31, "is short enough to be guessed")])
def test_on_they_want_a_secret(home: Path, secret: str, problem: str) -> None:
    given = {"TOKENWORKS_PLANES": "gateway", "TOKENWORKS_METRICS": "yes", "TOKENWORKS_METRICS_SECRET": secret}
    done = run_with(home, "import config.asgi", **given)
    assert f"TOKENWORKS_METRICS_SECRET {problem}. Give 32 or more" in done.stderr
    assert done.returncode == 1


ASK_THE_WEB_PROCESS = """
import asyncio
from config.asgi import application

async def ask(path, authorization):
    async def send(message):
        if message["type"] == "http.response.body":
            print(path, message["body"].decode())

    headers = [(b"authorization", authorization)]
    await application({"type": "http", "method": "GET", "path": path, "headers": headers}, None, send)

for path, authorization in (("/metrics", b"Bearer stranger"), ("/metrics", b"Bearer SECRET"), ("/v1/models", b"")):
    asyncio.run(ask(path, authorization))
"""


@pytest.mark.parametrize("planes", ["gateway", "both"])
def test_on_the_page_stands_before_all_else(home: Path, planes: str) -> None:
    """The gateway has not begun, so whoever knows the secret is told to wait, and others are refused all the same."""
    given = {"TOKENWORKS_PLANES": planes, "TOKENWORKS_METRICS": "yes", "TOKENWORKS_METRICS_SECRET": SECRET}
    done = run_with(home, ASK_THE_WEB_PROCESS.replace("SECRET", SECRET), **given)
    answers = [line.split(" ", 1) for line in done.stdout.splitlines()]
    codes = [(path, json.loads(body)["error"]["code"]) for path, body in answers]
    assert codes == [("/metrics", "invalid_metrics_secret"), ("/metrics", "not_ready"), ("/v1/models", "not_ready")]


def run_with(home: Path, script: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    given = {"TOKENWORKS_HOME": str(home), **environment}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=given, cwd=settings.BASE_DIR, capture_output=True, text=True, check=False)


def test_both_places_say_the_same_of_the_settings() -> None:
    example, ours = ((settings.BASE_DIR / name).read_text() for name in (".env.example", "config/settings.py"))
    for name in ("TOKENWORKS_METRICS", "TOKENWORKS_METRICS_SECRET"):
        said = re.search(rf"^(# .+)\n{name} = ", ours, re.MULTILINE)
        assert said
        assert f"{said[1]}\n# {name}=" in example


def closed(offering: str, duration_us: int, deployment: str = "llama-at-pool") -> Closed:
    opened = Opened(b"0" * 16, 0, 1, 101, 11, offering, deployment, False)
    return Closed(opened, duration_us, None, "completed", "none", False, Usage(), 200, None)


@given(st.lists(st.integers(-5, 2 * BOUNDS_US[-1])))
def test_a_histogram_counts_each_time_under_every_bound_that_it_does_not_pass(times_us: list[int]) -> None:
    counts = Counts()
    for us in [0, *times_us]:
        counts.closed(closed(MODEL, us))
    duration = counts.offerings[MODEL].duration
    *buckets, total, count = histogram_samples({}, BOUNDS_US, duration.counts, duration.sum_us)
    expected = [sum(us <= bound for us in [0, *times_us]) for bound in BOUNDS_US]
    assert [sample.value for sample in buckets] == [*expected, 1 + len(times_us)]
    assert (total.value, count.value) == (seconds(sum(max(0, us) for us in times_us)), 1 + len(times_us))


def test_offerings_beyond_the_limit_are_counted_together() -> None:
    counts = Counts()
    for number in range(OFFERINGS_MAX + 5):
        counts.closed(closed(f"model-{number}", 1))
    assert len(counts.offerings) == OFFERINGS_MAX + 1
    assert counts.offerings["others"].outcomes == {("llama-at-pool", "completed"): 5}


def test_deployments_beyond_the_limit_are_counted_together() -> None:
    counts = Counts()
    for number in range(OUTCOMES_MAX + 5):
        counts.closed(closed(MODEL, 1, f"deployment-{number}"))
        counts.closed(closed(MODEL, 1, "deployment-0"))
    outcomes = counts.offerings[MODEL].outcomes
    assert len(outcomes) == OUTCOMES_MAX + 1
    assert outcomes["others", "completed"] == 5
    assert outcomes["deployment-0", "completed"] == OUTCOMES_MAX + 6


def test_units_are_counted_in_the_order_in_which_usage_holds_them() -> None:
    assert Usage.__struct_fields__ == tuple(REPORTED_UNITS)


def test_labels_are_escaped_and_workers_shown_without_credentials() -> None:
    text = page([Family("a", "gauge", "Meaning.", [Sample({"b": 'x"\\\n'}, 1)]), Family("none", "gauge", "None.", [])])
    assert text == b'# HELP a Meaning.\n# TYPE a gauge\na{b="x\\"\\\\\\n"} 1\n'
    assert shown("https://user:password@worker:8000") == "worker:8000"
