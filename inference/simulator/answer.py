"""The bytes of a simulated answer, in vLLM's shapes: one JSON object, or server-sent events, one a token.

A chunk without its token is the same bytes through a whole answer, so it is made once and the token is put in.
"""

import itertools
from collections.abc import Iterator

import msgspec

from inference.simulator import FINGERPRINT
from inference.simulator.chat import Task

DONE = b"data: [DONE]\n\n"
WORDS = ("simulated", "tokens", "count", "like", "real", "ones", "and", "mean", "nothing", "at", "all")

_encode = msgspec.json.encode


def text(tokens: int) -> str:
    """As many words as tokens were asked for."""
    return " ".join(itertools.islice(itertools.cycle(WORDS), tokens))


def whole(task: Task, *, request_id: str, model: str, created_s: int) -> bytes:
    """The body of an answer that is not streamed."""
    content = text(task.output_tokens)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, "refusal": None, "tool_calls": []},
        "logprobs": None,
        "finish_reason": task.finish_reason,
        "stop_reason": None,
    }
    return _encode(
        {
            "id": request_id,
            "object": "chat.completion",
            "created": created_s,
            "model": model,
            "choices": [choice],
            "service_tier": None,
            "system_fingerprint": FINGERPRINT,
            "usage": _usage(task.prompt_tokens, task.output_tokens),
        }
    )


class Events:
    """The events of one streamed answer: `first`, then `tokens`, then `last`."""

    def __init__(self, task: Task, *, request_id: str, model: str, created_s: int) -> None:
        self._task = task
        head = {
            "id": request_id,
            "object": "chat.completion.chunk",
            "created": created_s,
            "model": model,
            "system_fingerprint": FINGERPRINT,
        }
        self._head = b"data: " + _encode(head)[:-1] + b',"choices":'
        self._before = self._head + b'[{"index":0,"delta":{"content":"'
        self._after = b'"},"logprobs":null,"finish_reason":null}]'
        reason = _encode(task.finish_reason)
        self._after_last = b'"},"logprobs":null,"finish_reason":' + reason + b',"stop_reason":null}]'

    def first(self) -> bytes:
        """Says who speaks, before any token."""
        delta = b'[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]'
        return self._head + delta + self._end(0)

    def tokens(self, start: int, stop: int) -> Iterator[bytes]:
        """The events of the tokens numbered from `start` to `stop`, both included, counted from 1."""
        last = self._task.output_tokens
        for number in range(start, stop + 1):
            word = WORDS[(number - 1) % len(WORDS)].encode()
            space = b" " if number > 1 else b""
            yield (
                self._before + space + word + (self._after_last if number == last else self._after) + self._end(number)
            )

    def last(self) -> bytes:
        """The whole usage, where asked for, and the end mark."""
        if not self._task.include_usage:
            return DONE
        usage = _encode(_usage(self._task.prompt_tokens, self._task.output_tokens))
        return self._head + b'[],"usage":' + usage + b"}\n\n" + DONE

    def _end(self, number: int) -> bytes:
        if not self._task.continuous_usage:
            return b"}\n\n"
        prompt = self._task.prompt_tokens
        usage = b',"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d}}\n\n'
        return usage % (prompt, prompt + number, number)


def _usage(prompt_tokens: int, output_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + output_tokens,
        "completion_tokens": output_tokens,
    }
