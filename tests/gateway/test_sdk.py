"""The official SDK as its users use it, against a real running gateway."""

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import openai
import pydantic
import pytest

from gateway.snapshot import build
from metering.usage import Usage
from tests.gateway.running import (
    ALICE_KEY,
    MODEL,
    OUTPUT_TOKENS_MAX,
    SUSPENDED_KEY,
    FixedSnapshots,
    Running,
    chat,
    deployment,
    post,
    rows,
)
from tests.gateway.upstreams import (
    PROMPT,
    STREAM_HEAD,
    Answer,
    Received,
    Upstream,
    chunk,
    completion,
    event,
    running,
    says,
    says_and_waits,
    streams,
    vllm_stream,
    whole,
)

HELLO: list[Any] = [{"role": "user", "content": "Say hello"}]
BUSY = b'{"error":{"message":"Busy.","type":"overloaded","param":null,"code":429}}'


@pytest.fixture
async def client(gateway: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=ALICE_KEY, max_retries=0) as client:
        yield client


def in_turn(*answers: Answer) -> Answer:
    """Another answer to each request, and the last one from then on."""
    left = list(answers)

    async def answer(request: Received, transport: asyncio.Transport) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(request, transport)

    return answer


async def test_the_blocking_sdk_reads_a_stream(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = streams(*vllm_stream(["To", " be"]))

    def ask() -> str:
        with openai.OpenAI(base_url=gateway.base_url, api_key=ALICE_KEY, max_retries=0) as client:
            chunks = client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    assert await asyncio.to_thread(ask) == "To be"


async def test_the_raw_response_names_the_request(client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    raw = await client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    assert raw.headers["x-request-id"] == upstream.received[0].headers["x-request-id"]
    assert raw.parse()._request_id == raw.headers["x-request-id"]


async def test_a_streaming_response_can_be_read_line_by_line(client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    upstream.answer = streams(*vllm_stream(["To"]))
    request = client.chat.completions.with_streaming_response.create(model=MODEL, messages=HELLO, stream=True)
    async with request as response:
        lines = [line async for line in response.iter_lines()]
    assert lines[-2:] == ["data: [DONE]", ""]


async def test_a_429_of_the_upstream_is_tried_again_and_both_tries_have_an_event(
    gateway: Running, upstream: Upstream
) -> None:
    upstream.answer = in_turn(
        says(whole(BUSY, "retry-after: 0", status="429 Too Many Requests")), says(whole(completion()))
    )
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=ALICE_KEY, max_retries=1) as client:
        answer = await client.chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.choices[0].message.content == "Hello there"
    assert [(each.outcome, each.billed) for each in gateway.events()] == [
        ("upstream_rejected", False),
        ("completed", True),
    ]


async def test_our_own_trouble_is_tried_again_and_leaves_one_event(
    gateway: Running, upstream: Upstream, snapshots: FixedSnapshots
) -> None:
    upstream.answer = says(whole(completion()))
    ready, snapshots.current = snapshots.current, None
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=ALICE_KEY, max_retries=2) as client:
        asking = asyncio.ensure_future(client.chat.completions.create(model=MODEL, messages=HELLO))
        refused = await post(gateway, chat())
        snapshots.current = ready
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert (await asking).choices[0].message.content == "Hello there"
    assert (await gateway.event()).outcome == "completed"


async def test_a_timeout_of_the_sdk_is_a_caller_that_left(gateway: Running, upstream: Upstream) -> None:
    upstream.answer = says_and_waits(STREAM_HEAD, chunk(event("a", running(PROMPT, 1))))
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=ALICE_KEY, max_retries=0, timeout=0.5) as client:
        stream = await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        with pytest.raises(openai.APITimeoutError):
            async for _ in stream:
                pass
        await stream.close()
    recorded = await gateway.event()
    assert (recorded.outcome, recorded.usage) == ("client_disconnected", Usage(input_uncached=PROMPT, output=1))


class Place(pydantic.BaseModel):
    city: str
    people: int


async def test_a_structured_output_comes_back_as_its_class(client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion(content='{"city":"Ulm","people":130000}')))
    answer = await client.chat.completions.parse(model=MODEL, messages=HELLO, response_format=Place)
    assert answer.choices[0].message.parsed == Place(city="Ulm", people=130_000)
    asked = upstream.received[0].json["response_format"]["json_schema"]
    assert (asked["name"], asked["strict"], set(asked["schema"]["properties"])) == ("Place", True, {"city", "people"})


FIELDS: list[dict[str, Any]] = [
    {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
    },
    {"logprobs": True, "top_logprobs": 3},
    {"n": 3, "temperature": 0.5, "stop": ["\n", "ä"], "seed": 7, "logit_bias": {"50256": -100}},
    {"extra_body": {"guided_json": {"type": "object"}, "min_p": 0.05}},
    {"reasoning_effort": "low", "metadata": {"a": "b"}, "user": "alice"},
]
VISION: list[Any] = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
        ],
    }
]


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("model_name", [MODEL, "model-at-worker"])
async def test_every_field_of_the_sdk_reaches_the_upstream_untouched(
    client: openai.AsyncOpenAI, upstream: Upstream, snapshots: FixedSnapshots, fields: dict[str, Any], model_name: str
) -> None:
    snapshots.current = build(rows(upstream.base_url, deployments=[deployment(model_name=model_name)]))
    upstream.answer = says(whole(completion()))
    await client.chat.completions.create(model=MODEL, messages=VISION, **fields)
    sent = {**fields, **fields.get("extra_body", {})}
    sent.pop("extra_body", None)
    assert upstream.received[0].json == {"model": model_name, "messages": VISION, **sent}


async def test_tool_calls_and_log_probabilities_come_back_untouched(
    client: openai.AsyncOpenAI, upstream: Upstream
) -> None:
    answer = json.loads(completion())
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    answer["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": [call]}
    answer["choices"][0]["logprobs"] = {
        "content": [{"token": "a", "logprob": -0.25, "bytes": [97], "top_logprobs": []}],
        "refusal": None,
    }
    upstream.answer = says(whole(json.dumps(answer).encode()))
    choice = (await client.chat.completions.create(model=MODEL, messages=HELLO)).choices[0]
    assert choice.to_dict() == answer["choices"][0]


async def test_streamed_tool_calls_come_back_untouched(client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    part = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    first = json.loads(event("")[6:])
    first["choices"][0]["delta"] = {"role": "assistant", "content": None, "tool_calls": [part]}
    upstream.answer = streams(b"data: " + json.dumps(first).encode() + b"\n\n", *vllm_stream([])[1:])
    stream = await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.to_dict() == first["choices"][0]["delta"]


async def test_completions_are_answered_and_counted(
    client: openai.AsyncOpenAI, gateway: Running, upstream: Upstream
) -> None:
    answer = {
        "id": "cmpl-1", "object": "text_completion", "created": 1, "model": "model-at-worker",
        "choices": [{"index": 0, "text": "there", "logprobs": None, "finish_reason": "stop"}], "usage": running(9, 4),
    }  # fmt: skip
    upstream.answer = says(whole(json.dumps(answer).encode()))
    answered = await client.completions.create(model=MODEL, prompt=[5, 6, 7], max_tokens=4, echo=True)
    assert answered.choices[0].text == "there"
    assert upstream.received[0].path == "/v1/completions"
    assert upstream.received[0].json == {
        "model": "model-at-worker", "prompt": [5, 6, 7], "max_tokens": 4, "echo": True,
    }  # fmt: skip
    recorded = await gateway.event()
    assert (recorded.outcome, recorded.billed) == ("completed", True)
    assert recorded.usage == Usage(input_uncached=9, output=4)


async def test_streamed_completions_are_answered_and_counted(
    client: openai.AsyncOpenAI, gateway: Running, upstream: Upstream
) -> None:
    events = vllm_stream(["there"], running(PROMPT, 4))
    upstream.answer = streams(*[each.replace(b'"delta":{"content":"there"}', b'"text":"there"') for each in events])
    stream = await client.completions.create(
        model=MODEL, prompt="Hello", stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[1].choices[0].text == "there"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 4
    assert upstream.received[0].json["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert (await gateway.event()).usage == Usage(input_uncached=PROMPT, output=4)


async def test_embeddings_are_answered_and_only_their_input_is_counted(
    client: openai.AsyncOpenAI, gateway: Running, upstream: Upstream
) -> None:
    vector = base64.b64encode(struct.pack("<2f", 0.5, -0.25)).decode()
    answer = {
        "id": "embd-1", "object": "list", "model": "model-at-worker",
        "data": [{"index": 0, "object": "embedding", "embedding": vector}],
        "usage": {"prompt_tokens": 9, "total_tokens": 9, "completion_tokens": 0, "prompt_tokens_details": None},
    }  # fmt: skip
    upstream.answer = says(whole(json.dumps(answer).encode()))
    answered = await client.embeddings.create(model=MODEL, input=["one", "two"])
    assert answered.data[0].embedding == [0.5, -0.25]
    assert upstream.received[0].path == "/v1/embeddings"
    assert upstream.received[0].json["encoding_format"] == "base64"
    recorded = await gateway.event()
    assert (recorded.billed, recorded.opened.streamed, recorded.usage) == (True, False, Usage(input_uncached=9))


REFUSALS: list[tuple[type[openai.APIStatusError], dict[str, Any], str | None]] = [
    (openai.NotFoundError, {"model": "gpt-99"}, "model_not_found"),
    (openai.BadRequestError, {"messages": []}, None),
    (openai.BadRequestError, {"max_tokens": OUTPUT_TOKENS_MAX + 1}, None),
    (openai.BadRequestError, {"n": 1000}, None),
]


@pytest.mark.parametrize(("raised", "fields", "code"), REFUSALS)
async def test_a_refusal_is_the_class_that_the_sdk_has_for_it(
    client: openai.AsyncOpenAI, raised: type[openai.APIStatusError], fields: dict[str, Any], code: str | None
) -> None:
    with pytest.raises(raised) as refused:
        await client.chat.completions.create(**{"model": MODEL, "messages": HELLO, **fields})
    (param,) = fields
    assert (refused.value.code, refused.value.param) == (code, param)
    assert refused.value.request_id


@pytest.mark.parametrize(
    ("key", "raised"), [("sk-tw-guessed", openai.AuthenticationError), (SUSPENDED_KEY, openai.PermissionDeniedError)]
)
async def test_a_key_that_may_not_call_is_the_class_that_the_sdk_has_for_it(
    gateway: Running, key: str, raised: type[openai.APIStatusError]
) -> None:
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=key, max_retries=0) as client:
        with pytest.raises(raised):
            await client.chat.completions.create(model=MODEL, messages=HELLO)
        with pytest.raises(raised):
            await client.embeddings.create(model=MODEL, input="a")
        with pytest.raises(raised):
            await client.completions.create(model=MODEL, prompt="a")
        with pytest.raises(raised):
            await client.models.list()


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        ("400 Bad Request", openai.BadRequestError),
        ("409 Conflict", openai.ConflictError),
        ("422 Unprocessable Entity", openai.UnprocessableEntityError),
        ("429 Too Many Requests", openai.RateLimitError),
        ("500 Oops", openai.InternalServerError),
    ],
)
async def test_a_refusal_of_the_upstream_is_the_class_that_the_sdk_has_for_it(
    client: openai.AsyncOpenAI, upstream: Upstream, status: str, raised: type[openai.APIStatusError]
) -> None:
    upstream.answer = says(whole(BUSY, status=status))
    for call in (
        client.chat.completions.create(model=MODEL, messages=HELLO),
        client.completions.create(model=MODEL, prompt="a"),
        client.embeddings.create(model=MODEL, input="a"),
    ):
        with pytest.raises(raised):
            await call


async def test_no_worker_is_an_internal_server_error(client: openai.AsyncOpenAI, snapshots: FixedSnapshots) -> None:
    snapshots.current = build(rows("http://127.0.0.1:9"))
    with pytest.raises(openai.InternalServerError) as refused:
        await client.chat.completions.create(model=MODEL, messages=HELLO)
    assert (refused.value.status_code, refused.value.code) == (503, "no_worker")
