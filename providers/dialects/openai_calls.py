"""What OpenAI's calls have in common, as callers and vLLM and its kin speak them: fields, bodies, answers. Pure."""

from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Raw

from metering.usage import UsageSource
from providers.dialects import members
from providers.dialects.dialect import Call, Counted, GarbledAnswer, InvalidRequest, Kind
from providers.dialects.members import UNREADABLE, Pieces
from providers.dialects.openai_stream import OpenAIStream
from providers.dialects.openai_usage import UsageCount

Value = TypeVar("Value")

ANSWERS_MAX = 128  # OpenAI's own limit of `n`.
EVERY_COUNT = {"include_usage": Raw(b"true"), "continuous_usage_stats": Raw(b"true")}


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


_read_text = msgspec.json.Decoder(str).decode
_read_flag = msgspec.json.Decoder(bool | None).decode
_read_answers = msgspec.json.Decoder(Annotated[int, Meta(ge=1, le=ANSWERS_MAX)] | None).decode
_read_options = msgspec.json.Decoder(StreamOptions | None).decode


def read_members(body: bytes) -> dict[str, Raw]:
    """The members of a caller's body. Raises InvalidRequest."""
    try:
        return members.read(body)
    except msgspec.ValidationError:
        raise InvalidRequest("The body must be a JSON object.") from None
    except UNREADABLE as problem:
        raise InvalidRequest(f"The body is not valid JSON: {problem}.") from None


def required(found: dict[str, Raw], name: str, read: Callable[[Raw], Value], expected: str, remedy: str) -> Value:
    """A field that must be there. Raises InvalidRequest."""
    if name not in found:
        raise InvalidRequest(f"{name} is missing. {remedy}", name)
    return field(found, name, read, expected)


def field(found: dict[str, Raw], name: str, read: Callable[[Raw], Value], expected: str) -> Value:
    """A field that is there. Raises InvalidRequest."""
    try:
        return read(found[name])
    except UNREADABLE:
        raise InvalidRequest(f"{name} must be {expected}.", name) from None


def model_of(found: dict[str, Raw]) -> str:
    return required(found, "model", _read_text, "a text", "Name the model to use.")


def answers_of(found: dict[str, Raw], name: str) -> int:
    if name not in found:
        return 1
    return field(found, name, _read_answers, f"a whole number from 1 to {ANSWERS_MAX}") or 1


def generating_call(
    kind: Kind,
    model: str,
    body: bytes,
    found: dict[str, Raw],
    limits: dict[str, int | None],
    *,
    prompts: int,
    answers: int,
) -> Call:
    """A call for text, whole or streamed. Raises InvalidRequest; fields that we do not know pass unseen."""
    streamed = "stream" in found and bool(field(found, "stream", _read_flag, "true or false"))
    options = None
    if "stream_options" in found:
        options = field(found, "stream_options", _read_options, "an object whose values are true or false")
    usage_wanted = streamed and options is not None and bool(options.include_usage)
    return Call(
        kind=kind,
        model=model,
        body=body,
        members=found,
        streamed=streamed,
        usage_wanted=usage_wanted,
        running_usage_wanted=usage_wanted and options is not None and bool(options.continuous_usage_stats),
        output_limits={name: limit for name, limit in limits.items() if limit is not None},
        prompts=prompts,
        answers=answers,
    )


class Choices(msgspec.Struct):
    choices: list[Raw]
    usage: Raw = Raw()


_read_choices = msgspec.json.Decoder(Choices).decode


def reported(usage: Raw) -> Counted:
    """What an answer's `usage` says, where there is one."""
    count = UsageCount()
    words = bytes(usage)
    if words not in (b"", b"null"):
        count.take(words)
    return count.counted(UsageSource.REPORTED)


class ChoicesFormat:
    """Calls that are answered with `choices`, whole or streamed: chat completions and completions.

    With `stream_options.include_usage` vLLM sends one event with the usage and no choices before `[DONE]`, and only
    with `continuous_usage_stats` besides a `usage` member in the other events; without it that member is absent. The
    gateway asks for both, so that a stream that is cut short is counted to its last event, and takes out what the
    caller did not ask for.
    """

    def __init__(self, path: bytes) -> None:
        self.path = path

    def request_body(self, call: Call, model_name: str) -> Pieces:
        if not call.streamed:
            return body_for(call, model_name)
        asked = call.members.get("stream_options")
        options = members.read(asked) if asked is not None and bytes(asked) != b"null" else {}
        return members.pieces_of(
            {
                **call.members,
                "model": msgspec.json.encode(model_name),
                "stream_options": members.join({**options, **EVERY_COUNT}),
            }
        )

    def count(self, body: bytes) -> Counted:
        try:
            answer = _read_choices(body)
        except UNREADABLE as problem:
            raise GarbledAnswer(f"The answer has no choices: {problem}.") from None
        return reported(answer.usage)

    def follow(self, call: Call) -> OpenAIStream:
        return OpenAIStream(call.usage_wanted, call.running_usage_wanted, call.prompts, call.answers)


def body_for(call: Call, model_name: str) -> Pieces:
    """What was read of the caller's body; its own bytes, where they are just that and nothing has to change.

    Bytes that hold a name twice never go on: an upstream that takes the first one would see other limits.
    """
    if model_name == call.model and members.are_all_of(call.members, call.body):
        return [call.body]
    return members.pieces_of({**call.members, "model": msgspec.json.encode(model_name)})
