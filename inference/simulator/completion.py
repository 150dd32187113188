"""What a caller asks of the simulated worker with plain text: completions and embeddings.

Fields and reasons to refuse are vLLM's (`/v1/completions`, `/v1/embeddings`). A token id counts as a token, as a word
does.
"""

import zlib

import msgspec

from inference.simulator.chat import (
    Refused,
    Sampling,
    StreamOptions,
    Task,
    answer_to,
    check_model,
    check_options,
    parsed,
)

Texts = str | list[str | int | list[int]]


class CompletionRequest(Sampling, frozen=True):
    prompt: Texts
    model: str | None = None
    max_tokens: int | None = 16  # vLLM's and OpenAI's default.
    min_tokens: int = 0
    ignore_eos: bool = False
    n: int | None = 1
    stream: bool | None = False
    stream_options: StreamOptions | None = None


class EmbeddingRequest(msgspec.Struct, frozen=True):
    input: Texts
    model: str | None = None
    encoding_format: str = "float"
    dimensions: int | None = None


class Embedding(msgspec.Struct, frozen=True):
    """An accepted request for embeddings: the words of each text, and a checksum that its vector is made of."""

    prompt_tokens: int
    checksums: list[int]
    base64: bool


_completion = msgspec.json.Decoder(CompletionRequest)
_embedding = msgspec.json.Decoder(EmbeddingRequest)


def accept_completion(body: bytes, *, model: str, context_tokens_max: int) -> list[Task]:
    """A task for each prompt. Raises `Refused`."""
    request = parsed(_completion, body)
    check_model(request.model, model)
    check_options(request)
    prompts = [_read(text) for text in _separate(request.prompt, "prompt")]
    return [
        answer_to(tokens, checksum, request, request.max_tokens, context_tokens_max, param="prompt")
        for tokens, checksum in prompts
    ]


def accept_embedding(body: bytes, *, model: str, context_tokens_max: int) -> Embedding:
    """Raises `Refused`."""
    request = parsed(_embedding, body)
    check_model(request.model, model)
    if request.encoding_format not in ("float", "base64"):
        raise Refused("encoding_format must be float or base64.", param="encoding_format")
    if request.dimensions is not None:
        raise Refused("The simulated worker's vectors have one length: leave dimensions out.", param="dimensions")
    texts = [_read(text) for text in _separate(request.input, "input")]
    for tokens, _ in texts:
        if tokens > context_tokens_max:
            raise Refused(
                f"This model's maximum context length is {context_tokens_max} tokens. However, your request has "
                f"{tokens} input tokens. Please reduce the length of the input.",
                param="input",
            )
    return Embedding(
        prompt_tokens=sum(tokens for tokens, _ in texts),
        checksums=[checksum for _, checksum in texts],
        base64=request.encoding_format == "base64",
    )


def _separate(texts: Texts, name: str) -> list[str | list[int]]:
    """Each text by itself; a bare list of token ids is one text."""
    if isinstance(texts, str):
        return [texts]
    ids = [each for each in texts if isinstance(each, int)]
    if ids and len(ids) == len(texts):
        return [ids]
    separate = [each for each in texts if not isinstance(each, int)]
    if not separate or ids:
        raise Refused(f"{name} must be a text, a list of texts, or token ids.", param=name)
    return separate


def _read(text: str | list[int]) -> tuple[int, int]:
    """Tokens, and a checksum."""
    if isinstance(text, str):
        return len(text.split()), zlib.crc32(text.encode())
    return len(text), zlib.crc32(msgspec.json.encode(text))
