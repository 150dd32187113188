"""OpenAI's chat completions, as a caller asks for them. Pure."""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from providers.dialects.dialect import Call, Kind
from providers.dialects.openai_calls import answers_of, field, generating_call, model_of, read_members, required

OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens")  # The second is the older name of the first.

_read_limit = msgspec.json.Decoder(Annotated[int, Meta(ge=1)] | None).decode
_read_list = msgspec.json.Decoder(Annotated[list[Raw], Meta(min_length=1)]).decode


def read_call(body: bytes) -> Call:
    """Understand a caller's request body. Raises InvalidRequest."""
    found = read_members(body)
    model = model_of(found)
    required(found, "messages", _read_list, "a list with at least one message", "Give at least one message.")
    limits = {name: field(found, name, _read_limit, "a whole number from 1") for name in OUTPUT_LIMITS if name in found}
    return generating_call(Kind.CHAT, model, body, found, limits, prompts=1, answers=answers_of(found, "n"))
