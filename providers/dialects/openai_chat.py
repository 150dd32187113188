"""OpenAI's chat completions, as spoken by callers and by vLLM and its kin. Pure.

With `stream_options.include_usage` vLLM sends one event with the usage and no choices before `[DONE]`, and only
with `continuous_usage_stats` besides a `usage` member in the other events; without it that member is absent. The
gateway asks for both, so that a stream that is cut short is counted to its last event, and takes out what the
caller did not ask for.
"""

from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Raw

from metering.usage import UsageSource
from providers.dialects import members
from providers.dialects.dialect import ChatCall, Counted, GarbledAnswer, InvalidRequest
from providers.dialects.members import UNREADABLE
from providers.dialects.openai_usage import UsageCount

Value = TypeVar("Value")

DONE = b"[DONE]"
ANSWERS_MAX = 128  # OpenAI's own limit of `n`.


OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens")  # The second is the older name of the first.
EVERY_COUNT = {"include_usage": Raw(b"true"), "continuous_usage_stats": Raw(b"true")}


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


_read_text = msgspec.json.Decoder(str).decode
_read_flag = msgspec.json.Decoder(bool | None).decode
_read_limit = msgspec.json.Decoder(Annotated[int, Meta(ge=1)] | None).decode
_read_answers = msgspec.json.Decoder(Annotated[int, Meta(ge=1, le=ANSWERS_MAX)] | None).decode
_read_options = msgspec.json.Decoder(StreamOptions | None).decode
_read_list = msgspec.json.Decoder(Annotated[list[Raw], Meta(min_length=1)]).decode


def read_call(body: bytes) -> ChatCall:
    """Understand a caller's request body. Raises InvalidRequest; fields that we do not know pass unseen."""
    try:
        found = members.read(body)
    except msgspec.ValidationError:
        raise InvalidRequest("The body must be a JSON object.") from None
    except UNREADABLE as problem:
        raise InvalidRequest(f"The body is not valid JSON: {problem}.") from None
    if "model" not in found:
        raise InvalidRequest("model is missing. Name the model to use.", "model")
    if "messages" not in found:
        raise InvalidRequest("messages is missing. Give at least one message.", "messages")
    model = _field(found, "model", _read_text, "a text")
    _field(found, "messages", _read_list, "a list with at least one message")
    streamed = "stream" in found and bool(_field(found, "stream", _read_flag, "true or false"))
    options = None
    if "stream_options" in found:
        options = _field(found, "stream_options", _read_options, "an object whose values are true or false")
    if "n" in found:
        _field(found, "n", _read_answers, f"a whole number from 1 to {ANSWERS_MAX}")
    usage_wanted = streamed and options is not None and bool(options.include_usage)
    return ChatCall(
        model=model,
        streamed=streamed,
        usage_wanted=usage_wanted,
        running_usage_wanted=usage_wanted and options is not None and bool(options.continuous_usage_stats),
        output_limits={
            name: limit
            for name in OUTPUT_LIMITS
            if name in found and (limit := _field(found, name, _read_limit, "a whole number from 1")) is not None
        },
        body=body,
        members=found,
    )


def _field(found: dict[str, Raw], name: str, read: Callable[[Raw], Value], expected: str) -> Value:
    try:
        return read(found[name])
    except UNREADABLE:
        raise InvalidRequest(f"{name} must be {expected}.", name) from None


class OpenAIChat:
    """A deployment that speaks OpenAI's chat completions."""

    path = b"/v1/chat/completions"

    def request_body(self, call: ChatCall, model_name: str) -> bytes:
        """What was read of the caller's body; its own bytes, where they are just that and nothing has to change.

        Bytes that hold a name twice never go on: an upstream that takes the first one would see other limits.
        """
        if model_name == call.model and not call.streamed and members.are_all_of(call.members, call.body):
            return call.body
        changed: dict[str, Raw | bytes] = {**call.members, "model": msgspec.json.encode(model_name)}
        if call.streamed:
            asked = call.members.get("stream_options")
            options = members.read(asked) if asked is not None and bytes(asked) != b"null" else {}
            changed["stream_options"] = members.join({**options, **EVERY_COUNT})
        return members.join(changed)

    def count(self, body: bytes) -> Counted:
        try:
            answer = _read_answer(body)
        except UNREADABLE as problem:
            raise GarbledAnswer(f"The answer is not a chat completion: {problem}.") from None
        count = UsageCount()
        usage = bytes(answer.usage)
        if usage not in (b"", b"null"):
            count.take(usage)
        return count.counted(UsageSource.REPORTED)

    def follow(self, call: ChatCall) -> "ChatStream":
        return ChatStream(call.usage_wanted, call.running_usage_wanted)


class Answer(msgspec.Struct):
    choices: list[Raw]
    usage: Raw = Raw()


class Event(msgspec.Struct):
    choices: list[Raw] | None = None
    usage: Raw = Raw()
    error: Raw = Raw()


_read_answer = msgspec.json.Decoder(Answer).decode
_read_event = msgspec.json.Decoder(Event).decode


class ChatStream:
    """One streamed chat completion: counts it, and takes out the usage that the caller did not ask for."""

    __slots__ = ("_count", "_running_usage_wanted", "_usage_sent", "_usage_wanted", "_with_usage", "done", "failed")

    def __init__(self, usage_wanted: bool, running_usage_wanted: bool) -> None:
        self.done = False
        self.failed = False
        self._usage_wanted = usage_wanted
        self._running_usage_wanted = running_usage_wanted
        self._usage_sent = False  # An event with the usage and no choices went to the caller.
        self._with_usage: bytes | None = None  # The newest data that held a usage.
        self._count = UsageCount()

    def take(self, data: bytes) -> bytes | None:
        if data == DONE:
            self.done = True
            return data
        try:
            event = _read_event(data)
        except UNREADABLE as problem:
            raise GarbledAnswer(f"An event is not a chat completion chunk: {problem}.") from None
        if bytes(event.error) not in (b"", b"null"):
            self.failed = True
            return data
        usage = bytes(event.usage)
        if not usage:
            return data
        if usage == b"null":
            return data if self._usage_wanted else members.cut(data, "usage", usage)
        self._count.take(usage)
        self._with_usage = data
        if not event.choices:
            self._usage_sent = self._usage_wanted
            return data if self._usage_wanted else None
        return data if self._running_usage_wanted else members.cut(data, "usage", usage)

    def owed(self) -> bytes | None:
        """The event with the usage, where the upstream put it beside choices only."""
        if not self._usage_wanted or self._usage_sent or self._with_usage is None:
            return None
        return members.join({**members.read(self._with_usage), "choices": b"[]"})

    def counted(self) -> Counted:
        return self._count.counted(UsageSource.REPORTED if self.done else UsageSource.RUNNING_COUNT)
