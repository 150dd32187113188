"""What a span says: by OpenTelemetry's conventions where they have a name, else by names of our own. Pure.

The conventions are those for HTTP, and those for generative AI as their own repository has them in November 2026
(semantic-conventions-genai, `gen_ai.client.inference`; their status is Development, so names may change).

What is counted and how it ended is read from the records that are billed. Prompts, answers, sessions, keys and callers'
addresses are in no span: only numbers, and names that an operator gave.
"""

import uuid
from functools import lru_cache
from urllib.parse import urlsplit

from metering.records import Closed, Opened
from metering.usage import INPUT_UNITS, OUTPUT_UNITS, Outcome, Unit, Usage
from providers.dialects.dialect import Call, Kind
from providers.snapshot import Deployment

Value = str | bool | int | float | list[str]
Attributes = dict[str, Value]

OPERATION = "gen_ai.operation.name"
MODEL = "gen_ai.request.model"
ERROR = "error.type"
STATUS = "http.response.status_code"

OPERATIONS = {
    "/v1/chat/completions": Kind.CHAT,
    "/v1/completions": Kind.COMPLETION,
    "/v1/embeddings": Kind.EMBEDDING,
}
ROUTES = {"/v1/models": "/v1/models", **{path: path for path in OPERATIONS}}
MODELS_BELOW = "/v1/models/"
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))

FAILED = frozenset((Outcome.UPSTREAM_FAILED, Outcome.UPSTREAM_REJECTED, Outcome.INTERRUPTED))


def span_name(operation: str, model: str | None) -> str:
    return operation if model is None else f"{operation} {model}"


def of_request(method: str, path: str, scheme: str) -> Attributes:
    """Of the caller's request. A path that nobody answers is the caller's text, and not told."""
    said: Attributes = {"http.request.method": method if method in METHODS else "_OTHER", "url.scheme": scheme}
    route = "/v1/models/{model}" if path.startswith(MODELS_BELOW) else ROUTES.get(path)
    if route is not None:
        said["http.route"] = route
    operation = OPERATIONS.get(path)
    if operation is not None:
        said[OPERATION] = operation.value
    return said


def operation_of(said: Attributes) -> str:
    """What a request's span is called before its model is known."""
    if OPERATION in said:
        return str(said[OPERATION])
    return " ".join(str(said[name]) for name in ("http.request.method", "http.route") if name in said)


def of_caller(tenant_id: int, project_id: int, api_key_id: int) -> Attributes:
    return {
        "tokenworks.tenant.id": tenant_id,
        "tokenworks.project.id": project_id,
        "tokenworks.api_key.id": api_key_id,
    }


def of_opened(opened: Opened) -> Attributes:
    """Who asked for what, and who was asked."""
    return {
        **of_caller(opened.tenant_id, opened.project_id, opened.api_key_id),
        "tokenworks.request.id": str(uuid.UUID(bytes=opened.event_id)),
        "tokenworks.offering": opened.offering,
        "tokenworks.deployment": opened.deployment,
        "tokenworks.service_tier": str(opened.service_tier),
        "gen_ai.request.stream": opened.streamed,
    }


def of_attempt(call: Call, deployment: Deployment, base_url: str, number: int) -> Attributes:
    """What an attempt asks for and where. `number` counts a request's attempts from 1."""
    said: Attributes = {
        OPERATION: call.kind.value,
        "gen_ai.provider.name": deployment.dialect,
        MODEL: deployment.model_name,
        "tokenworks.upstream": deployment.upstream,
        "tokenworks.attempt": number,
        **server(base_url),
    }
    if call.output_limits:
        said["gen_ai.request.max_tokens"] = min(call.output_limits.values())
    if call.answers != 1:
        said["gen_ai.request.choice.count"] = call.answers
    return said


@lru_cache(maxsize=1024)
def server(base_url: str) -> Attributes:
    """A worker's host and port, without what else may stand in its address."""
    parts = urlsplit(base_url)
    return {
        "server.address": parts.hostname or "",
        "server.port": parts.port or (443 if parts.scheme == "https" else 80),
    }


def of_closed(closed: Closed) -> Attributes:
    """How an attempt ended and what it used, as recorded: what nobody reported is not said, and never 0."""
    said: Attributes = {
        "tokenworks.outcome": str(closed.outcome),
        "tokenworks.usage_source": str(closed.usage_source),
        "tokenworks.billed": closed.billed,
        **of_usage(closed.usage),
    }
    if closed.grade:
        said["tokenworks.grade"] = closed.grade
    if closed.upstream_status is not None:
        said[STATUS] = closed.upstream_status
    if closed.first_byte_at_us is not None:
        first_byte_us = max(0, closed.first_byte_at_us - closed.opened.opened_at_us)
        said["tokenworks.first_byte_us"] = first_byte_us
        if closed.opened.streamed:
            said["gen_ai.response.time_to_first_chunk"] = first_byte_us / 1_000_000
    error = error_of(closed)
    if error is not None:
        said[ERROR] = error
    return said


def of_usage(usage: Usage) -> Attributes:
    """The conventions' totals contain their parts (cached, reasoning), where our units do not overlap."""
    units = usage.units()
    said: Attributes = {}
    for total, parts in (("input", INPUT_UNITS), ("output", OUTPUT_UNITS)):
        counts = [units[part] for part in parts if part in units]
        if counts:
            said[f"gen_ai.usage.{total}_tokens"] = sum(counts)
    if Unit.INPUT_CACHED in units:
        said["gen_ai.usage.cache_read.input_tokens"] = units[Unit.INPUT_CACHED]
    if Unit.REASONING in units:
        said["gen_ai.usage.reasoning.output_tokens"] = units[Unit.REASONING]
    return said


def error_of(closed: Closed) -> str | None:
    """The upstream's status where that was the fault, else the outcome; None where nothing failed."""
    if closed.outcome not in FAILED:
        return None
    status = closed.upstream_status
    return str(status) if status is not None and status >= 400 else str(closed.outcome)
