"""The bytes of a simulated answer, in vLLM's shapes: one JSON object, or server-sent events, one a token.

A chunk without its token is the same bytes through a whole answer, so it is made once and the token is put in.
"""

import base64
import itertools
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from inference.simulator import FINGERPRINT
from inference.simulator.chat import Task
from inference.simulator.completion import Embedding

VECTOR_NUMBERS = 32
DONE = b"data: [DONE]\n\n"
WORDS = ("simulated", "tokens", "count", "like", "real", "ones", "and", "mean", "nothing", "at", "all")

_encode = msgspec.json.encode


def text(tokens: int) -> str:
    """As many words as tokens were asked for."""
    return " ".join(itertools.islice(itertools.cycle(WORDS), tokens))


class Shape(NamedTuple):
    """How the same words are put for one of the calls: names, and what stands around a token in an event."""

    id_start: str
    whole: str  # The object's name.
    event: str
    before_token: bytes
    after_token: bytes
    is_chat: bool


CHAT = Shape("chatcmpl-", "chat.completion", "chat.completion.chunk", b'"delta":{"content":"', b'"}', True)
TEXT = Shape("cmpl-", "text_completion", "text_completion", b'"text":"', b'"', False)


def whole(shape: Shape, tasks: Sequence[Task], *, request_id: str, model: str, created_s: int) -> bytes:
    """The body of an answer that is not streamed, with a choice for each task."""
    return _encode(
        {
            "id": request_id,
            "object": shape.whole,
            "created": created_s,
            "model": model,
            "choices": [_choice(shape, index, task) for index, task in enumerate(tasks)],
            "service_tier": None,
            "system_fingerprint": FINGERPRINT,
            "usage": _usage(tasks),
        }
    )


def _choice(shape: Shape, index: int, task: Task) -> dict[str, Any]:
    content = text(task.output_tokens)
    said: dict[str, Any] = {"text": content}
    if shape.is_chat:
        said = {"message": {"role": "assistant", "content": content, "refusal": None, "tool_calls": []}}
    end = {"logprobs": None, "finish_reason": task.finish_reason, "stop_reason": None}
    return {"index": index, **said, **end}


class Events:
    """The events of one streamed answer: for each task `first`, then `tokens`; then `last`."""

    def __init__(self, shape: Shape, tasks: Sequence[Task], *, request_id: str, model: str, created_s: int) -> None:
        self._shape = shape
        self._tasks = tasks
        head = {
            "id": request_id,
            "object": shape.event,
            "created": created_s,
            "model": model,
            "system_fingerprint": FINGERPRINT,
        }
        self._head = b"data: " + _encode(head)[:-1] + b',"choices":'

    def first(self, index: int) -> bytes:
        """Says who speaks in a chat, before any token."""
        if not self._shape.is_chat:
            return b""
        delta = b'[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]'
        return self._head + delta + self._end(self._tasks[index], 0)

    def tokens(self, index: int, start: int, stop: int) -> Iterator[bytes]:
        """The events of the tokens numbered from `start` to `stop`, both included, counted from 1."""
        task = self._tasks[index]
        before = self._head + b'[{"index":%d,' % index + self._shape.before_token
        after = self._shape.after_token + b',"logprobs":null,"finish_reason":null}]'
        reason = _encode(task.finish_reason)
        after_last = self._shape.after_token + b',"logprobs":null,"finish_reason":%b,"stop_reason":null}]' % reason
        for number in range(start, stop + 1):
            word = WORDS[(number - 1) % len(WORDS)].encode()
            space = b" " if number > 1 else b""
            is_last = number == task.output_tokens
            yield before + space + word + (after_last if is_last else after) + self._end(task, number)

    def last(self) -> bytes:
        """The whole usage, where asked for, and the end mark."""
        if not self._tasks[0].include_usage:
            return DONE
        return self._head + b'[],"usage":' + _encode(_usage(self._tasks)) + b"}\n\n" + DONE

    def _end(self, task: Task, number: int) -> bytes:
        """With the usage of this choice alone, as vLLM does."""
        if not task.continuous_usage:
            return b"}\n\n"
        prompt = task.prompt_tokens
        usage = b',"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d}}\n\n'
        return usage % (prompt, prompt + number, number)


def vectors(task: Embedding, *, request_id: str, model: str, created_s: int) -> bytes:
    """The body of an answer with a vector for each text. The same text always has the same vector."""
    data = [
        {"index": index, "object": "embedding", "embedding": _vector(checksum, task.base64)}
        for index, checksum in enumerate(task.checksums)
    ]
    tokens = task.prompt_tokens
    usage = {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0, "prompt_tokens_details": None}
    return _encode(
        {"id": request_id, "object": "list", "created": created_s, "model": model, "data": data, "usage": usage}
    )


def _vector(checksum: int, as_base64: bool) -> list[float] | str:
    """One number for each bit of the checksum, of length 1 together."""
    length = VECTOR_NUMBERS**-0.5
    vector = [length if checksum >> bit & 1 else -length for bit in range(VECTOR_NUMBERS)]
    return base64.b64encode(struct.pack(f"<{VECTOR_NUMBERS}f", *vector)).decode() if as_base64 else vector


def _usage(tasks: Sequence[Task]) -> dict[str, int]:
    prompt_tokens = sum(task.prompt_tokens for task in tasks)
    output_tokens = sum(task.output_tokens for task in tasks)
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + output_tokens,
        "completion_tokens": output_tokens,
    }
