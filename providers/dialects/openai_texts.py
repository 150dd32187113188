"""Text as completions and embeddings take it: a text, texts, token ids, or lists of token ids. Pure."""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

TEXTS_MAX = 2048  # OpenAI's own limit of the texts in one call for embeddings.
TEXTS = f"a text, a list of texts, a list of token ids or a list of such lists, with 1 to {TEXTS_MAX} texts"

BRACKET = b"["[0]

_read_text = msgspec.json.Decoder(str).decode
_read_token_ids = msgspec.json.Decoder(Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=1)]).decode
_read_list = msgspec.json.Decoder(Annotated[list[Raw], Meta(min_length=1, max_length=TEXTS_MAX)]).decode


def number_of_texts(value: Raw) -> int:
    """How many texts these are. Raises one of UNREADABLE."""
    words = memoryview(value)
    if words[0] != BRACKET:
        _read_text(value)
        return 1
    first = bytes(words[1:100]).lstrip()[:1]
    if first not in (b'"', b"["):
        _read_token_ids(value)
        return 1
    texts = _read_list(value)
    for each in texts:
        if memoryview(each)[0] != first[0]:
            raise msgspec.ValidationError("Texts and token ids cannot be mixed.")
        if first == b"[":
            _read_token_ids(each)
    return len(texts)
