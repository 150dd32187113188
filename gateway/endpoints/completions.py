"""POST /v1/completions"""

from gateway.endpoints.calling import calling
from providers.dialects.openai_completions import read_call

completions = calling(read_call)
