"""What the gateway answers, by path and method. Every endpoint knows its caller; none is reached without a key."""

from gateway.endpoints.calling import Endpoint
from gateway.endpoints.chat_completions import chat_completions
from gateway.endpoints.completions import completions
from gateway.endpoints.embeddings import embeddings
from gateway.endpoints.models import list_models, retrieve_model
from gateway.errors import MethodNotAllowed, UnknownPath

ENDPOINTS: dict[str, tuple[str, Endpoint]] = {
    "/v1/chat/completions": ("POST", chat_completions),
    "/v1/completions": ("POST", completions),
    "/v1/embeddings": ("POST", embeddings),
    "/v1/models": ("GET", list_models),
}
ENDPOINTS_BELOW: dict[str, tuple[str, Endpoint]] = {
    "/v1/models/": ("GET", retrieve_model),
}


def endpoint(path: str, method: str) -> Endpoint:
    """Raises UnknownPath or MethodNotAllowed."""
    found = ENDPOINTS.get(path)
    if found is None:
        found = next((each for start, each in ENDPOINTS_BELOW.items() if path.startswith(start)), None)
    if found is None:
        raise UnknownPath(f"There is nothing at {path[:200]}.")
    if method != found[0]:
        raise MethodNotAllowed(f"{path[:200]} takes {found[0]} only.", allowed=found[0])
    return found[1]
