"""OpenAI's completions of plain text, the older call, as a caller asks for them. Pure.

A prompt is a text or a list of token ids; several of them may come in one call, and each gets `n` answers. `best_of`
makes more answers than it gives, and all of them count; as at OpenAI, they cannot be streamed.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from providers.dialects.dialect import Call, InvalidRequest, Kind
from providers.dialects.openai_calls import answers_of, field, generating_call, model_of, read_members, required
from providers.dialects.openai_texts import TEXTS, number_of_texts

# vLLM lets a prompt be echoed with no answer behind it, to read its log probabilities.
_read_limit = msgspec.json.Decoder(Annotated[int, Meta(ge=0)] | None).decode


def read_call(body: bytes) -> Call:
    """Understand a caller's request body. Raises InvalidRequest."""
    found = read_members(body)
    model = model_of(found)
    prompts = required(found, "prompt", number_of_texts, TEXTS, "Give a text to go on with.")
    limits = {}
    if "max_tokens" in found:
        limits["max_tokens"] = field(found, "max_tokens", _read_limit, "a whole number from 0")
    given, made = answers_of(found, "n"), answers_of(found, "best_of")
    call = generating_call(Kind.COMPLETION, model, body, found, limits, prompts=prompts, answers=max(given, made))
    if call.streamed and made > given:
        raise InvalidRequest("best_of cannot be over n in a stream. Ask for the whole answer, or give less.", "best_of")
    return call
