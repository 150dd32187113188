"""One event for every request, with the count that its upstream gave: in any event, in any pieces, once."""

from typing import Any

import pytest

from metering.usage import Usage
from tests.gateway.running import Running, chat, post
from tests.gateway.upstreams import (
    CACHED,
    COMPLETION,
    DONE,
    LAST_CHUNK,
    PROMPT,
    REASONING,
    STREAM_HEAD,
    USAGE,
    Upstream,
    chunk,
    completion,
    event,
    head,
    running,
    says,
    streams,
    vllm_stream,
    whole,
)

COUNTED = Usage(input_uncached=PROMPT - CACHED, input_cached=CACHED, output=COMPLETION - REASONING, reasoning=REASONING)
WORDS = ["To", " be"]


async def test_streamed_equals_buffered_for_the_same_answer(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    await post(gateway, chat())
    upstream.answer = streams(*vllm_stream(WORDS))
    await post(gateway, chat(stream=True))
    buffered, streamed = gateway.events()
    assert buffered.usage == streamed.usage == COUNTED
    assert buffered.billed
    assert streamed.billed


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([event(usage=USAGE), event("a"), DONE], id="first"),
        pytest.param([event("a"), event(usage=running(9, 9)), event(usage=USAGE), DONE], id="twice"),
        pytest.param([event("a", running(PROMPT, 1)), event("b", USAGE, "stop"), DONE], id="with choices"),
        pytest.param([event("a", USAGE), event("b"), DONE], id="before the last choices"),
        pytest.param(
            [event(str(n), running(PROMPT, n)) for n in range(28)] + [event("", USAGE), DONE], id="cumulative"
        ),
        pytest.param([b": ping\n\n", event("a"), event(usage=USAGE), b": ping\n\n", DONE], id="among comments"),
    ],
)
async def test_the_last_usage_wins_wherever_it_stands(
    gateway: Running, upstream: Upstream, events: list[bytes]
) -> None:
    upstream.answer = streams(*events)
    await post(gateway, chat(stream=True))
    assert (await gateway.event()).usage == COUNTED


async def test_a_caller_that_did_not_ask_for_usage_never_sees_an_event_without_choices(
    gateway: Running, upstream: Upstream
) -> None:
    upstream.answer = streams(*vllm_stream(WORDS))
    answered = await post(gateway, chat(stream=True))
    assert b'"choices":[]' not in answered.body
    assert b"usage" not in answered.body


async def test_a_caller_that_asked_gets_the_usage_event_although_the_upstream_sent_it_beside_choices(
    gateway: Running, upstream: Upstream
) -> None:
    upstream.answer = streams(event("a"), event("b", USAGE, "stop"), DONE)
    answered = await post(gateway, chat(stream=True, stream_options={"include_usage": True}))
    assert answered.body == event("a") + event("b", finish="stop") + event(usage=USAGE) + DONE


@pytest.mark.parametrize("answer", [whole(completion(usage=None)), None])
async def test_an_answer_without_usage_is_recorded_as_unknown_and_not_billed(
    gateway: Running, upstream: Upstream, answer: bytes | None
) -> None:
    upstream.answer = says(answer) if answer else streams(event("a"), DONE)
    await post(gateway, chat(stream=answer is None))
    recorded = await gateway.event()
    assert (recorded.outcome, recorded.usage_source, recorded.billed) == ("completed", "none", False)
    assert recorded.usage == Usage()


async def test_an_explicit_zero_is_a_count(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion(running(5, 0))))
    await post(gateway, chat())
    recorded = await gateway.event()
    assert (recorded.usage, recorded.billed) == (Usage(input_uncached=5, output=0), True)


@pytest.mark.parametrize(
    "usage", [{**USAGE, "prompt_tokens": 3}, {**USAGE, "prompt_tokens": -3}, {"prompt_tokens": "9"}]
)
async def test_an_impossible_count_is_flagged_recorded_and_not_billed(
    gateway: Running, upstream: Upstream, usage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.answer = says(whole(completion(usage)))
    answered = await post(gateway, chat())
    assert answered.status == 200
    recorded = await gateway.event()
    assert (recorded.usage, recorded.usage_source, recorded.billed) == (Usage(), "none", False)
    assert recorded.upstream_usage is not None
    assert answered.headers["x-request-id"] in caplog.text


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
async def test_one_byte_at_a_time_gives_the_same_bytes_and_the_same_count(
    gateway: Running, upstream: Upstream, line_end: bytes
) -> None:
    events = [event.replace(b"\n", line_end) for event in vllm_stream(WORDS)]
    bytes_alone = [chunk(bytes([byte])) for byte in b"".join(events)]
    upstream.answer = says(STREAM_HEAD, *bytes_alone, LAST_CHUNK)
    options = {"include_usage": True, "continuous_usage_stats": True}
    answered = await post(gateway, chat(stream=True, stream_options=options))
    assert answered.body == b"".join(events)
    assert (await gateway.event()).usage == COUNTED


async def test_a_stream_cut_in_two_at_every_byte_gives_the_same_bytes_and_the_same_count(
    gateway: Running, upstream: Upstream
) -> None:
    stream = b"".join(vllm_stream(["To"]))
    expected = event("") + event("To") + event("", finish="stop") + DONE
    for place in range(1, len(stream)):
        upstream.answer = says(STREAM_HEAD, chunk(stream[:place]), chunk(stream[place:]), LAST_CHUNK)
        answered = await post(gateway, chat(stream=True))
        assert answered.body == expected, f"cut at byte {place}"
    assert {recorded.usage for recorded in gateway.events()} == {COUNTED}


async def test_an_event_of_four_megabytes_passes_and_the_usage_behind_it_is_read(
    gateway: Running, upstream: Upstream
) -> None:
    large = event("x" * (4 << 20))
    upstream.answer = streams(large, event(usage=USAGE), DONE)
    answered = await post(gateway, chat(stream=True))
    assert answered.body == large + DONE
    assert (await gateway.event()).usage == COUNTED


async def test_a_stream_that_ends_with_its_connection_is_counted(gateway: Running, upstream: Upstream) -> None:
    async def answer(request: Any, transport: Any) -> None:
        transport.write(head("content-type: text/event-stream") + b"".join(vllm_stream(WORDS)))
        transport.close()

    upstream.answer = answer
    answered = await post(gateway, chat(stream=True))
    assert answered.body.endswith(DONE)
    assert (await gateway.event()).usage == COUNTED


async def test_every_request_has_an_id_of_its_own(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    for _ in range(5):
        await post(gateway, chat())
    assert len({recorded.opened.event_id for recorded in gateway.events()}) == 5
