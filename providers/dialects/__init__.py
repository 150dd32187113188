"""The wire formats that a deployment may speak, by the name that its row says."""

from providers.dialects.dialect import Dialect, Kind
from providers.dialects.openai_calls import ChoicesFormat
from providers.dialects.openai_embeddings import EmbeddingsFormat

OPENAI: Dialect = {
    Kind.CHAT: ChoicesFormat(b"/v1/chat/completions"),
    Kind.COMPLETION: ChoicesFormat(b"/v1/completions"),
    Kind.EMBEDDING: EmbeddingsFormat(b"/v1/embeddings"),
}
DIALECTS: dict[str, Dialect] = {"openai": OPENAI}
