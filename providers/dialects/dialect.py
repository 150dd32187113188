"""What a wire format must be able to do for the gateway, and what is said of a request and its answer. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

import msgspec

from metering.usage import Usage, UsageSource
from providers.dialects.members import Pieces


class InvalidRequest(ValueError):
    """A caller's request cannot be understood. `param` names the field, where one field is at fault."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class GarbledAnswer(ValueError):
    """What an upstream sent is not what its dialect allows."""


class Kind(StrEnum):
    """What a call asks for, by the names of OpenTelemetry's `gen_ai.operation.name`."""

    CHAT = "chat"
    COMPLETION = "text_completion"
    EMBEDDING = "embeddings"


class Call(msgspec.Struct, frozen=True):
    """A caller's request to a model: what the gateway has to know, and all of it as bytes."""

    kind: Kind
    model: str
    body: bytes  # As it came; empty where the members were changed since.
    members: dict[str, msgspec.Raw]  # Its members, each value as it came.
    streamed: bool = False
    usage_wanted: bool = False  # An event with the usage, before the end of the stream.
    running_usage_wanted: bool = False  # A running count on every event.
    output_limits: dict[str, int] = {}  # The caller's own limits of one answer's tokens, by name of the field.
    prompts: int = 1  # Prompts that the call holds.
    answers: int = 1  # Answers to each prompt; every one of them may be as long as the limits say.


class Counted(msgspec.Struct, frozen=True):
    """What one answer used, where the numbers come from, and the upstream's own words.

    `flaw` says what is wrong with the upstream's numbers. Where they cannot be true, `usage` stays unknown.
    """

    usage: Usage
    source: UsageSource
    upstream_usage: bytes | None
    flaw: str | None = None


NOTHING_COUNTED = Counted(Usage(), UsageSource.NONE, None)


class AnswerStream(Protocol):
    """Follows one streamed answer event by event: what it used, and what of it the caller is to see."""

    done: bool  # The upstream said that the answer is whole.
    failed: bool  # The upstream said that it failed.

    def take(self, data: bytes) -> bytes | None:
        """What the caller gets for an event's data: the same object, another one, or None for nothing.

        Raises GarbledAnswer.
        """
        ...

    def owed(self) -> bytes | None:
        """Data of an event that the caller asked for and the upstream did not send; asked once, at the end."""
        ...

    def counted(self) -> Counted:
        """What was used so far."""
        ...


class CallFormat(Protocol):
    """How one kind of call is put to a deployment, and its answer understood."""

    path: bytes

    def request_body(self, call: Call, model_name: str) -> Pieces:
        """The body to send, for the model's name at the upstream; it always asks for the usage.

        It comes in pieces, of which the large ones are the caller's own: a body with images is so not copied once more.
        """
        ...

    def count(self, body: bytes) -> Counted:
        """What an answer that was not streamed used. Raises GarbledAnswer."""
        ...

    def follow(self, call: Call) -> AnswerStream: ...


Dialect = Mapping[Kind, CallFormat]
