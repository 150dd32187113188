"""OpenAI's embeddings, as callers and vLLM speak them. They are never streamed, and only what is read counts. Pure."""

import msgspec
from msgspec import Raw, structs

from providers.dialects.dialect import AnswerStream, Call, Counted, GarbledAnswer, Kind
from providers.dialects.members import UNREADABLE, Pieces
from providers.dialects.openai_calls import body_for, model_of, read_members, reported, required
from providers.dialects.openai_texts import TEXTS, number_of_texts


def read_call(body: bytes) -> Call:
    """Understand a caller's request body. Raises InvalidRequest."""
    found = read_members(body)
    model = model_of(found)
    texts = required(found, "input", number_of_texts, TEXTS, "Give a text to embed.")
    return Call(kind=Kind.EMBEDDING, model=model, body=body, members=found, prompts=texts)


class Vectors(msgspec.Struct):
    data: list[Raw]
    usage: Raw = Raw()


_read_vectors = msgspec.json.Decoder(Vectors).decode


class EmbeddingsFormat:
    """Calls that are answered with vectors."""

    def __init__(self, path: bytes) -> None:
        self.path = path

    def request_body(self, call: Call, model_name: str) -> Pieces:
        return body_for(call, model_name)

    def count(self, body: bytes) -> Counted:
        """vLLM reports 0 completion tokens of every embedding. Nothing is written, so that is no count of anything."""
        try:
            answer = _read_vectors(body)
        except UNREADABLE as problem:
            raise GarbledAnswer(f"The answer has no embeddings: {problem}.") from None
        counted = reported(answer.usage)
        return structs.replace(counted, usage=structs.replace(counted.usage, output=None, reasoning=None))

    def follow(self, call: Call) -> AnswerStream:
        raise GarbledAnswer("Embeddings are never streamed.")
