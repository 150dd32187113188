"""A gateway's spans say what its books say, belong to their callers' traces, and cost nothing where they are off."""

import asyncio
import json
import logging
import re
import socket
import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from config import settings
from gateway.endpoints import ENDPOINTS
from gateway.snapshot import build
from gateway.spans import exporting
from gateway.spans.attributes import OPERATIONS, of_request, server
from gateway.spans.gateway import SpannedGateway
from metering.records import Closed
from tests.gateway.collector import CLIENT, SERVER, Collector, Told, running_collector
from tests.gateway.running import (
    ACME,
    ALICE_KEY,
    MALLORY_KEY,
    MODEL,
    SUSPENDED_KEY,
    Answered,
    FixedSnapshots,
    Running,
    chat,
    deployment,
    exchange,
    http_request,
    post,
    rows,
    running_gateway,
    until,
)
from tests.gateway.test_metrics import SECRET, run_with, values
from tests.gateway.upstreams import (
    CACHED,
    COMPLETION,
    DONE,
    PROMPT,
    REASONING,
    STREAM_HEAD,
    Upstream,
    chunk,
    completion,
    event,
    running,
    running_upstream,
    says,
    says_and_waits,
    streams,
    vllm_stream,
    whole,
)

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
WORDS = "the-words-of-nobody-else"  # Said by caller and model, and not to be found in any span.


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with running_collector() as collector:
        yield collector


@asynccontextmanager
async def spanned(
    home: Path, collector: Collector, *workers: Upstream, given: dict[str, Any] | None = None, **changes: Any
) -> AsyncIterator[Running]:
    """A gateway with spans; what it told is with the collector as soon as it has ended."""
    made = rows(*(worker.base_url for worker in workers), deployments=[deployment(**(given or {}))])
    async with running_gateway(home, FixedSnapshots(build(made)), spans_url=collector.url, **changes) as gateway:
        yield gateway


async def post_within(gateway: Running, traceparent: str, **request: Any) -> Answered:
    """A call that says whose part it is."""
    sent = http_request(json.dumps(chat()).encode(), **request)
    return await exchange(gateway.port, sent.replace(b"\r\n", f"\r\ntraceparent: {traceparent}\r\n".encode(), 1))


def id_of(recorded: Closed) -> str:
    return str(uuid.UUID(bytes=recorded.opened.event_id))


def counts_of(gateway: Running) -> dict[str, int]:
    assert isinstance(gateway.gateway, SpannedGateway)
    return gateway.gateway.spans.counts()


def times(told: Told) -> tuple[int, int]:
    return told.span.start_time_unix_nano // 1000, told.span.end_time_unix_nano // 1000


async def test_a_call_is_a_request_and_an_attempt_that_say_what_is_billed(
    home: Path, upstream: Upstream, collector: Collector
) -> None:
    upstream.answer = says(whole(completion()))
    async with spanned(home, collector, upstream) as gateway:
        answered = await post(gateway, chat(max_tokens=99))
        recorded = await gateway.event()
    request, attempt = collector.the_request(), collector.the_attempt()
    host, port = upstream.base_url.removeprefix("http://").split(":")
    caller = {"tokenworks.tenant.id": ACME, "tokenworks.project.id": 101, "tokenworks.api_key.id": 11}
    both = {
        **caller,
        "tokenworks.offering": MODEL,
        "tokenworks.deployment": "llama-at-pool",
        "tokenworks.request.id": answered.headers["x-request-id"],
        "tokenworks.outcome": "completed",
        "tokenworks.service_tier": "standard",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.stream": False,
        "http.response.status_code": 200,
    }
    assert request.name == f"chat {MODEL}"
    assert request.says == {
        **both,
        "gen_ai.request.model": MODEL,
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "url.scheme": "http",
        "tokenworks.attempts": 1,
    }
    assert attempt.name == "chat model-at-worker"
    assert attempt.says == {
        **both,
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "model-at-worker",
        "gen_ai.request.max_tokens": 99,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": PROMPT,
        "gen_ai.usage.cache_read.input_tokens": CACHED,
        "gen_ai.usage.output_tokens": COMPLETION,
        "gen_ai.usage.reasoning.output_tokens": REASONING,
        "server.address": host,
        "server.port": int(port),
        "tokenworks.upstream": "pool",
        "tokenworks.attempt": 1,
        "tokenworks.billed": True,
        "tokenworks.usage_source": "reported",
        "tokenworks.first_byte_us": recorded.first_byte_at_us - recorded.opened.opened_at_us,  # type: ignore[operator]
    }
    assert times(attempt) == (recorded.opened.opened_at_us, recorded.closed_at_us)
    assert times(request)[0] <= times(attempt)[0]
    assert times(request)[1] >= times(attempt)[1]
    assert attempt.span.parent_span_id == request.span.span_id
    assert attempt.span.trace_id == request.span.trace_id
    assert request.span.parent_span_id == b""
    assert not request.failed
    assert not attempt.failed
    assert request.resource["service.name"] == "tokenworks-gateway"
    assert request.resource["service.instance.id"] == "gateway-1"


async def test_a_stream_says_how_long_its_first_event_took(
    home: Path, upstream: Upstream, collector: Collector
) -> None:
    upstream.answer = streams(*vllm_stream(["a", "b", "c"]))
    async with spanned(home, collector, upstream) as gateway:
        assert (await post(gateway, chat(stream=True))).status == 200
        recorded = await gateway.event()
    attempt = collector.the_attempt()
    assert attempt.says["gen_ai.request.stream"] is True
    waited_us = recorded.first_byte_at_us - recorded.opened.opened_at_us  # type: ignore[operator]  # it had one
    assert attempt.says["tokenworks.first_byte_us"] == waited_us
    assert attempt.says["gen_ai.response.time_to_first_chunk"] == waited_us / 1_000_000
    assert attempt.says["gen_ai.usage.output_tokens"] == COMPLETION
    assert attempt.says["gen_ai.response.finish_reasons"] == ["stop"]
    assert collector.the_request().says["http.response.status_code"] == 200


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}},
    ],
)
async def test_every_answer_of_a_call_says_why_it_finished_and_no_answer_says_it_of_another(
    home: Path, upstream: Upstream, collector: Collector, asked: dict[str, Any]
) -> None:
    lies = '"finish_reason":"content_filter"'
    if asked:
        ends = [event("", running(PROMPT, 1), reason, choice) for choice, reason in enumerate(("length", "stop"))]
        upstream.answer = streams(event(lies, running(PROMPT, 1)), *ends, event(usage=running(PROMPT, 2)), DONE)
    else:
        both = [
            {"index": index, "message": {"role": "assistant", "content": lies}, "finish_reason": reason}
            for index, reason in enumerate(("length", "stop"))
        ]
        upstream.answer = says(whole(json.dumps({"choices": both, "usage": running(PROMPT, 2)}).encode()))
    async with spanned(home, collector, upstream) as gateway:
        assert (await post(gateway, chat(n=2, **asked))).status == 200
    said = collector.the_attempt().says
    assert (said["gen_ai.response.finish_reasons"], said["gen_ai.request.choice.count"]) == (["length", "stop"], 2)


async def test_a_retried_request_has_two_attempts_and_no_error(
    home: Path, upstream: Upstream, collector: Collector
) -> None:
    async with running_upstream() as other:
        upstream.answer = says(whole(b"{}", status="500 Oops"))
        other.answer = says(whole(completion()))
        async with spanned(home, collector, upstream, other) as gateway:
            answered = await post(gateway, chat())
            assert answered.status == 200
            ids = [id_of(each) for each in gateway.events()]
    first, second = collector.of_kind(CLIENT)
    assert [first.says["tokenworks.attempt"], second.says["tokenworks.attempt"]] == [1, 2]
    assert [first.says["tokenworks.request.id"], second.says["tokenworks.request.id"]] == ids
    assert (first.says["error.type"], first.says["tokenworks.outcome"], first.failed) == (
        "500",
        "upstream_failed",
        True,
    )
    assert "gen_ai.usage.input_tokens" not in first.says
    assert (second.says["tokenworks.outcome"], second.failed) == ("completed", False)
    assert first.says["server.port"] != second.says["server.port"]
    request = collector.the_request()
    assert request.says["tokenworks.attempts"] == 2
    assert request.says["tokenworks.request.id"] == answered.headers["x-request-id"] == ids[1]
    assert (request.says["tokenworks.outcome"], request.failed) == ("completed", False)
    assert "error.type" not in request.says


async def test_what_failed_for_good_is_an_error_of_the_request(
    home: Path, upstream: Upstream, collector: Collector
) -> None:
    upstream.answer = says(whole(b"not json"))
    async with spanned(home, collector, upstream) as gateway:
        assert (await post(gateway, chat())).status == 502
    request, attempt = collector.the_request(), collector.the_attempt()
    assert (request.says["error.type"], request.failed) == ("upstream_failed", True)
    assert request.says["tokenworks.refusal"] == "upstream_failed"
    assert request.says["http.response.status_code"] == 502
    assert (attempt.says["error.type"], attempt.failed) == ("upstream_failed", True)


async def test_a_stream_that_breaks_off_is_an_error_though_its_status_was_good(
    home: Path, upstream: Upstream, collector: Collector
) -> None:
    upstream.answer = streams(event("a", running(PROMPT, 1)))
    async with spanned(home, collector, upstream) as gateway:
        assert (await post(gateway, chat(stream=True))).status == 200
    request = collector.the_request()
    assert (request.says["error.type"], request.failed) == ("upstream_failed", True)
    assert request.says["http.response.status_code"] == 200


async def test_what_the_upstream_rejects_is_no_error_of_the_request(
    home: Path, upstream: Upstream, collector: Collector
) -> None:
    upstream.answer = says(whole(b'{"error":{"message":"too long"}}', status="400 Bad Request"))
    async with spanned(home, collector, upstream) as gateway:
        assert (await post(gateway, chat())).status == 400
    request, attempt = collector.the_request(), collector.the_attempt()
    assert (request.failed, request.says["http.response.status_code"]) == (False, 400)
    assert (attempt.failed, attempt.says["error.type"]) == (True, "400")


async def test_a_refusal_says_its_code_and_who_was_refused(
    home: Path, upstream: Upstream, collector: Collector
) -> None:
    async with spanned(home, collector, upstream) as gateway:
        assert (await post(gateway, chat(max_tokens=10**9))).status == 400
    request = collector.the_request()
    assert request.says["tokenworks.refusal"] == "bad_request"
    assert (request.says["tokenworks.tenant.id"], request.says["tokenworks.offering"]) == (ACME, MODEL)
    assert request.says["tokenworks.attempts"] == 0
    assert (request.name, request.failed) == (f"chat {MODEL}", False)
    assert collector.of_kind(CLIENT) == []


@pytest.mark.parametrize(
    ("key", "code"),
    [("sk-tw-nobody", "invalid_api_key"), (SUSPENDED_KEY, "account_suspended"), (None, "invalid_api_key")],
)
async def test_strangers_are_refused_without_a_tenant(
    home: Path, upstream: Upstream, collector: Collector, key: str | None, code: str
) -> None:
    async with spanned(home, collector, upstream) as gateway:
        await post(gateway, chat(), key=key)
    request = collector.the_request()
    assert request.says["tokenworks.refusal"] == code
    assert "tokenworks.tenant.id" not in request.says
    assert (request.name, request.failed) == ("chat", False)


async def test_without_a_worker_the_request_is_an_error_that_names_its_model(home: Path, collector: Collector) -> None:
    async with spanned(home, collector) as gateway:
        assert (await post(gateway, chat())).status == 503
    request = collector.the_request()
    assert (request.name, request.says["error.type"], request.failed) == (f"chat {MODEL}", "no_worker", True)
    assert request.says["tokenworks.tenant.id"] == ACME


async def test_a_model_that_is_not_sold_to_the_caller_is_not_named(
    home: Path, upstream: Upstream, collector: Collector
) -> None:
    async with spanned(home, collector, upstream) as gateway:
        assert (await post(gateway, chat(), key=MALLORY_KEY)).status == 404
        assert (await post(gateway, chat(model=WORDS))).status == 404
        assert (await post(gateway, {}, path=f"/v1/{WORDS}")).status == 404
        assert (await post(gateway, {}, path=f"/v1/models/{WORDS}", method="GET")).status == 404
    named = sorted((each.name, each.says.get("http.route")) for each in collector.of_kind(SERVER))
    chatted = ("chat", "/v1/chat/completions")
    assert named == [("GET /v1/models/{model}", "/v1/models/{model}"), ("POST", None), chatted, chatted]
    assert not any(WORDS.encode() in body for body in collector.bodies)


async def test_a_caller_that_hangs_up_leaves_a_span_with_its_last_count(
    home: Path, upstream: Upstream, collector: Collector
) -> None:
    upstream.answer = says_and_waits(STREAM_HEAD, chunk(event("a", running(PROMPT, 1))))
    async with spanned(home, collector, upstream) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(http_request(json.dumps(chat(stream=True)).encode()))
        await reader.readuntil(b'"a"')
        writer.close()
        await gateway.event()
    request, attempt = collector.the_request(), collector.the_attempt()
    for each in (request, attempt):
        assert (each.says["tokenworks.outcome"], each.failed) == ("client_disconnected", False)
    assert attempt.says["tokenworks.usage_source"] == "running_count"
    assert (attempt.says["gen_ai.usage.input_tokens"], attempt.says["gen_ai.usage.output_tokens"]) == (PROMPT, 1)


async def test_no_span_holds_what_was_said_or_who_said_it(home: Path, upstream: Upstream, collector: Collector) -> None:
    upstream.answer = says(whole(completion(content=WORDS)))
    async with spanned(home, collector, upstream) as gateway:
        said = chat(messages=[{"role": "user", "content": WORDS}], user=WORDS, stop=[WORDS])
        sent = http_request(json.dumps(said).encode())
        answered = await exchange(gateway.port, sent.replace(b"\r\n", f"\r\nx-session-id: {WORDS}\r\n".encode(), 1))
        assert WORDS in answered.body.decode()
    assert collector.told
    for body in collector.bodies:
        assert not re.search(f"{WORDS}|{ALICE_KEY}|Say hello".encode(), body)


async def test_a_request_is_a_part_of_its_callers_trace_and_its_work_a_part_of_the_attempt(
    home: Path, upstream: Upstream, collector: Collector
) -> None:
    upstream.answer = says(whole(completion()))
    async with spanned(home, collector, upstream, spans_percent=0) as gateway:
        assert (await post_within(gateway, f"00-{TRACE}-{PARENT}-01")).status == 200
    request, attempt = collector.the_request(), collector.the_attempt()
    assert request.span.trace_id.hex() == attempt.span.trace_id.hex() == TRACE
    assert request.span.parent_span_id.hex() == PARENT
    assert attempt.span.parent_span_id == request.span.span_id
    assert upstream.received[0].headers["traceparent"] == f"00-{TRACE}-{attempt.span.span_id.hex()}-01"
    assert upstream.received[0].headers["x-request-id"] == attempt.says["tokenworks.request.id"]


async def test_a_caller_that_is_not_sampled_leaves_no_span_and_its_trace_goes_on(
    home: Path, upstream: Upstream, collector: Collector
) -> None:
    upstream.answer = says(whole(completion()))
    async with spanned(home, collector, upstream) as gateway:
        assert (await post_within(gateway, f"00-{TRACE}-{PARENT}-00")).status == 200
    assert collector.told == []
    assert upstream.received[0].headers["traceparent"].startswith(f"00-{TRACE}-")
    assert upstream.received[0].headers["traceparent"].endswith("-00")


@pytest.mark.parametrize(
    "given", ["", "x", f"00-{'0' * 32}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01", "0" * 5000, "\xff"]
)
async def test_a_parent_that_cannot_be_read_begins_a_trace_anew(
    home: Path, upstream: Upstream, collector: Collector, given: str
) -> None:
    upstream.answer = says(whole(completion()))
    async with spanned(home, collector, upstream) as gateway:
        assert (await post_within(gateway, given)).status == 200
    assert collector.the_request().span.parent_span_id == b""


async def test_of_callers_that_do_not_decide_a_share_is_sampled(
    home: Path, upstream: Upstream, collector: Collector
) -> None:
    upstream.answer = says(whole(completion()))
    async with spanned(home, collector, upstream, spans_percent=50) as gateway:
        for _ in range(40):
            assert (await post(gateway, chat())).status == 200
    assert 0 < len(collector.of_kind(SERVER)) == len(collector.of_kind(CLIENT)) < 40


async def test_a_collector_that_is_down_costs_the_spans_and_nothing_else(
    home: Path, upstream: Upstream, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.answer = says(whole(completion()))
    collector.status = "400 Bad Request"
    async with spanned(home, collector, upstream, metrics_secret=SECRET) as gateway:
        assert (await post(gateway, chat())).status == 200
        await until(lambda: counts_of(gateway)["lost"] == 2)
        collector.status = "200 OK"
        found = await values(gateway)
        assert (await post(gateway, chat())).status == 200
    assert found['tokenworks_spans_total{fate="lost"}'] == 2
    assert found['tokenworks_spans_total{fate="sent"}'] == found['tokenworks_spans_total{fate="dropped"}'] == 0
    assert len(collector.told) == 2
    ours = [each for each in caplog.records if each.name == exporting.__name__]
    assert [each.levelno for each in ours] == [logging.WARNING]
    assert "'lost': 2" in ours[0].getMessage()


async def test_what_the_queue_cannot_hold_is_dropped_and_counted(
    home: Path, upstream: Upstream, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "WAITING_MAX", 3)
    monkeypatch.setattr(exporting, "BATCH_MAX", 3)
    monkeypatch.setattr(exporting, "INTERVAL_MS", 60_000)
    spans = exporting.Spans(collector.url, 100, "gateway-1")
    spans.start()
    assert spans._batches is not None
    with spans._batches._batch_processor._export_lock:  # As while a batch is with the collector.
        for _ in range(5):
            spans.tracer.start_span("one").end()
    assert spans.counts()["dropped"] == 2
    await spans.close()
    assert spans.counts() == {"sent": 3, "lost": 0, "dropped": 2}
    assert len(collector.told) == 3


async def test_an_end_does_not_wait_for_a_collector_that_is_silent(
    home: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(exporting, "CLOSE_TIMEOUT_S", 0.05)
    monkeypatch.setattr(exporting, "EXPORT_TIMEOUT_S", 0.5)
    upstream.answer = says(whole(completion()))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # It lets callers connect, and never hears them.
        collector = Collector(f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces")
        async with spanned(home, collector, upstream) as gateway:
            assert (await post(gateway, chat())).status == 200
        assert "Not all spans reached" in caplog.text
        await until(lambda: all(thread.name != exporting.CLOSING for thread in threading.enumerate()))


@pytest.mark.parametrize("given", [{}, {"TOKENWORKS_SPANS_PERCENT": "100"}])
def test_off_the_web_process_loads_nothing_of_it(home: Path, given: dict[str, str]) -> None:
    script = """
import json, sys, config.asgi
print(json.dumps([name for name in sys.modules if name.startswith(("opentelemetry", "google", "gateway.spans"))]))
"""
    assert json.loads(run_with(home, script, TOKENWORKS_PLANES="gateway", **given).stdout) == []


def test_on_the_web_process_makes_spans_and_loads_no_django(home: Path) -> None:
    script = "import sys, config.asgi; print('gateway.spans.gateway' in sys.modules, 'django' in sys.modules)"
    given = {"TOKENWORKS_PLANES": "gateway", "TOKENWORKS_SPANS_URL": "http://127.0.0.1:4318/v1/traces"}
    assert run_with(home, script, **given).stdout.split() == ["True", "False"]


async def test_off_a_callers_trace_is_not_passed_on(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    assert (await post_within(gateway, f"00-{TRACE}-{PARENT}-01")).status == 200
    assert "traceparent" not in upstream.received[0].headers


def test_a_place_for_spans_must_be_an_address(home: Path) -> None:
    done = run_with(home, "import config.asgi", TOKENWORKS_SPANS_URL="collector:4318")
    assert (
        "TOKENWORKS_SPANS_URL is 'collector:4318'. Give an address that begins with one of: http, https." in done.stderr
    )


def test_both_places_say_the_same_of_the_settings() -> None:
    example, ours = ((settings.BASE_DIR / name).read_text() for name in (".env.example", "config/settings.py"))
    for name in ("TOKENWORKS_SPANS_URL", "TOKENWORKS_SPANS_PERCENT"):
        said = re.search(rf"^(# .+)\n{name} = ", ours, re.MULTILINE)
        assert said
        assert f"{said[1]}\n# {name}=" in example


def test_every_endpoint_that_calls_a_model_is_an_operation() -> None:
    assert set(OPERATIONS) == {path for path, (method, _) in ENDPOINTS.items() if method == "POST"}
    for path in ENDPOINTS:
        assert of_request("GET", path, "http")["http.route"] == path
    assert of_request("BREW", "/", "http") == {"http.request.method": "_OTHER", "url.scheme": "http"}


def test_a_workers_address_is_told_without_credentials_and_path() -> None:
    assert server("http://user:password@worker/base") == {"server.address": "worker", "server.port": 80}
    assert server("https://worker:8443") == {"server.address": "worker", "server.port": 8443}
