"""The wire formats that a deployment may speak, by the name that its row says."""

from providers.dialects.dialect import ChatDialect
from providers.dialects.openai_chat import OpenAIChat

DIALECTS: dict[str, ChatDialect] = {"openai_chat": OpenAIChat()}
