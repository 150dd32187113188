"""Whole streams as engines send them, cut in two at every byte: the same bytes for the caller, and the same count."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from metering.usage import Usage
from tests.gateway.running import MODEL, Running, chat, post
from tests.gateway.upstreams import LAST_CHUNK, STREAM_HEAD, Upstream, chunk, says

DONE = b"data: [DONE]\n\n"


def event(choices: Any, usage: Any = None) -> bytes:
    data = {"id": "1", "choices": choices} | ({} if usage is None else {"usage": usage})
    return b"data: " + json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def counted(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion, **more}


def said(text: str, index: int = 0) -> list[dict[str, Any]]:
    return [{"index": index, "text": text}]


@dataclass
class Recorded:
    """What an upstream sent, and what is to become of it."""

    sent: list[bytes]
    seen: list[bytes]
    usage: Usage
    path: str = "/v1/completions"
    asked: dict[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        body = {"model": MODEL, "prompt": ["a", "b"], "stream": True, **self.asked}
        return body if self.path == "/v1/completions" else chat(stream=True, **self.asked)


DETAILS = {"prompt_tokens_details": {"cached_tokens": 3}}
CALL = [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"ä": "\\n\\n"}'}}]}}]

RECORDED = [
    pytest.param(
        Recorded(
            sent=[
                event(said("x"), counted(5, 1)), event(said("y", 1), counted(7, 1)),
                event([], counted(12, 2, **DETAILS)), DONE,
            ],
            seen=[event(said("x")), event(said("y", 1)), DONE],
            usage=Usage(input_uncached=9, input_cached=3, output=2),
        ),
        id="several prompts of vLLM",
    ),
    pytest.param(
        Recorded(
            sent=[
                b": ping\r\n\r\n", event(CALL, counted(5, 1)).replace(b"\n\n", b"\r\n\r\n"),
                b"event: x\r\nid: 1\r\n" + event([], counted(5, 9)), DONE,
            ],
            seen=[b": ping\r\n\r\n", event(CALL), DONE],
            usage=Usage(input_uncached=5, output=9),
            path="/v1/chat/completions",
        ),
        id="a tool call among comments and other line ends",
    ),
    pytest.param(
        Recorded(
            sent=[
                event([], counted(5, 0)), event(said("é")), event(said(""), counted(5, 4)),
                event([], counted(5, 4)), DONE,
            ],
            seen=[event([], counted(5, 0)), event(said("é")), event(said("")), event([], counted(5, 4)), DONE],
            usage=Usage(input_uncached=5, output=4),
            path="/v1/chat/completions",
            asked={"stream_options": {"include_usage": True}},
        ),
        id="usage first, beside choices, and last",
    ),
]  # fmt: skip


@pytest.mark.parametrize("recorded", RECORDED)
async def test_a_recorded_stream_cut_at_every_byte_gives_the_same_bytes_and_the_same_count(
    gateway: Running, upstream: Upstream, recorded: Recorded
) -> None:
    stream = b"".join(recorded.sent)
    for place in range(1, len(stream)):
        upstream.answer = says(STREAM_HEAD, chunk(stream[:place]), chunk(stream[place:]), LAST_CHUNK)
        answered = await post(gateway, recorded.body, path=recorded.path)
        assert answered.body == b"".join(recorded.seen), f"cut at byte {place}"
    assert {(each.usage, each.billed) for each in gateway.events()} == {(recorded.usage, True)}


async def test_chunks_in_any_number_of_reads_give_the_same_bytes_and_the_same_count(
    gateway: Running, upstream: Upstream
) -> None:
    plain, cut = event(said("a")), event(said("b"), counted(5, 1))
    sent = [plain, cut, plain, b": ping\n\n", plain, plain, event([], counted(5, 9)), DONE]
    seen = b"".join([plain, event(said("b")), plain, b": ping\n\n", plain, plain, DONE])
    chunks = [*map(chunk, sent), LAST_CHUNK]
    for grouping in range(2 ** (len(chunks) - 1)):  # A bit says whether a read ends behind a chunk.
        reads = [STREAM_HEAD + chunk(plain)]
        for number, each in enumerate(chunks):
            if number == 0 or grouping >> (number - 1) & 1:
                reads.append(each)
            else:
                reads[-1] += each
        upstream.answer = says(*reads)
        answered = await post(gateway, chat(stream=True))
        assert answered.body == plain + seen, bin(grouping)
        assert gateway.events()[-1].usage == Usage(input_uncached=5, output=9)
