"""POST /v1/chat/completions"""

from gateway.endpoints.calling import calling
from providers.dialects.openai_chat import read_call

chat_completions = calling(read_call)
