"""What a caller asks of the simulated worker: the request's fields, what is refused, and how long the answer will be.

Fields, defaults and reasons to refuse are vLLM's (`/v1/chat/completions` of its OpenAI server). Fields that would
change the words of an answer and not their number, such as temperature, are checked and ignored; unknown ones pass.
"""

import zlib
from collections.abc import Iterator
from typing import Annotated, Protocol, TypeVar

import msgspec
from msgspec import Meta

MUST_SAY = ("system", "user")  # An assistant may have called a tool instead of saying anything.
NATURAL_TOKENS_MAX = 256  # An answer ends by itself within as many tokens, unless min_tokens or ignore_eos say other.


class Refused(Exception):
    """The request is refused, in the error shape of vLLM: its `code` is the HTTP status."""

    def __init__(self, message: str, *, status: int = 400, type_: str = "BadRequestError", param: str | None = None):
        super().__init__(message)
        self.status = status
        self.body = msgspec.json.encode({"error": {"message": message, "type": type_, "param": param, "code": status}})


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = True
    continuous_usage_stats: bool | None = False


class Part(msgspec.Struct, frozen=True):
    type: str
    text: str | None = None


class Message(msgspec.Struct, frozen=True):
    role: str
    content: str | list[Part] | None = None


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """What shapes an answer without changing its length: the types and bounds of OpenAI's reference."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    user: str | None = None


class Request(Sampling, frozen=True):
    messages: list[Message]
    model: str | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    min_tokens: int = 0
    ignore_eos: bool = False
    n: int | None = 1
    stream: bool | None = False
    stream_options: StreamOptions | None = None


class Task(msgspec.Struct, frozen=True):
    """An accepted request with every count known: tokens are words."""

    prompt_tokens: int
    output_tokens: int
    finish_reason: str
    streamed: bool
    include_usage: bool
    continuous_usage: bool


Body = TypeVar("Body")

_decoder = msgspec.json.Decoder(Request)


class Asked(Protocol):
    """The fields that every request for text has."""

    @property
    def min_tokens(self) -> int: ...
    @property
    def ignore_eos(self) -> bool: ...
    @property
    def n(self) -> int | None: ...
    @property
    def stream(self) -> bool | None: ...
    @property
    def stream_options(self) -> StreamOptions | None: ...


def accept(body: bytes, *, model: str, context_tokens_max: int) -> Task:
    """The task that the body asks for. Raises `Refused`."""
    request = parsed(_decoder, body)
    check_model(request.model, model)
    if not request.messages:
        raise Refused("messages is empty. Give at least one message.", param="messages")
    if any(message.content is None and message.role in MUST_SAY for message in request.messages):
        raise Refused(f"A message of the role {' or '.join(MUST_SAY)} needs a content.", param="messages")
    check_options(request)
    prompt_tokens, checksum = _read_prompt(request)
    limit = request.max_completion_tokens if request.max_completion_tokens is not None else request.max_tokens
    return answer_to(prompt_tokens, checksum, request, limit, context_tokens_max, param="messages")


def answer_to(
    prompt_tokens: int, checksum: int, request: Asked, limit: int | None, context_tokens_max: int, *, param: str
) -> Task:
    """The answer to one prompt, of as many tokens as follow from its checksum and the limits. Raises `Refused`."""
    room = context_tokens_max - prompt_tokens
    if room < 1:
        raise Refused(
            f"This model's maximum context length is {context_tokens_max} tokens. However, your request has "
            f"{prompt_tokens} input tokens. Please reduce the length of the input {param}.",
            param=param,
        )
    limit = _output_limit(limit, request.min_tokens, prompt_tokens, room, context_tokens_max)
    natural = 1 + checksum % NATURAL_TOKENS_MAX
    length = limit if request.ignore_eos else min(max(natural, request.min_tokens), limit)
    options = request.stream_options
    include_usage = options is not None and bool(options.include_usage)
    return Task(
        prompt_tokens=prompt_tokens,
        output_tokens=length,
        finish_reason="length" if length == limit else "stop",
        streamed=bool(request.stream),
        include_usage=include_usage,
        continuous_usage=include_usage and options is not None and bool(options.continuous_usage_stats),
    )


def parsed(decoder: "msgspec.json.Decoder[Body]", body: bytes) -> Body:
    """Raises `Refused`."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as problem:
        raise Refused(f"The request has a field of the wrong type: {problem}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Refused(f"The request is not JSON: {problem}") from None


def check_model(asked: str | None, model: str) -> None:
    if asked is not None and asked != model:
        raise Refused(f"The model `{asked}` does not exist.", status=404, type_="NotFoundError", param="model")


def check_options(request: Asked) -> None:
    if request.n not in (None, 1):
        raise Refused("The simulated worker gives one choice: n must be 1.", param="n")
    if request.stream_options is not None and not request.stream:
        raise Refused("Stream options can only be defined when `stream=True`.", param="stream_options")
    if request.min_tokens < 0:
        raise Refused(f"min_tokens must be greater than or equal to 0, got {request.min_tokens}.", param="min_tokens")


def _read_prompt(request: Request) -> tuple[int, int]:
    """Words in all messages, and a checksum of their text."""
    tokens = checksum = 0
    for text in _texts(request):
        tokens += len(text.split())
        checksum = zlib.crc32(text.encode(), checksum)
    return tokens, checksum


def _texts(request: Request) -> Iterator[str]:
    for message in request.messages:
        if isinstance(message.content, str):
            yield message.content
            continue
        for part in message.content or ():
            if part.type != "text" or part.text is None:
                raise Refused(f"The simulated worker reads text, and no part of the type {part.type!r}.")
            yield part.text


def _output_limit(asked: int | None, min_tokens: int, prompt_tokens: int, room: int, context_tokens_max: int) -> int:
    if asked is None:
        asked = room
    if asked < 1:
        raise Refused(f"max_tokens must be at least 1, got {asked}.", param="max_tokens")
    if asked > room:
        raise Refused(
            f"'max_tokens' or 'max_completion_tokens' is too large: {asked}. This model's maximum context length is "
            f"{context_tokens_max} tokens and your request has {prompt_tokens} input tokens.",
            param="max_tokens",
        )
    if min_tokens > asked:
        message = f"min_tokens must be less than or equal to max_tokens={asked}, got {min_tokens}."
        raise Refused(message, param="min_tokens")
    return asked
