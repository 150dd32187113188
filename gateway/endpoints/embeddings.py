"""POST /v1/embeddings"""

from gateway.endpoints.calling import calling
from providers.dialects.openai_embeddings import read_call

embeddings = calling(read_call)
