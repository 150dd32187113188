"""GET /v1/models and /v1/models/{id}"""

from typing import Any

import msgspec

from gateway.asgi import JSON_TYPE, Request
from gateway.errors import UnknownModel
from gateway.plane import Plane
from gateway.snapshot import Snapshot
from providers.snapshot import Offering
from tenants.snapshot import Principal

PATH = "/v1/models/"


async def list_models(_plane: Plane, snapshot: Snapshot, principal: Principal, request: Request) -> None:
    sold = snapshot.all_sold_to(principal.tenant_id)
    if (terms := request.terms) is not None:
        sold = [each for each in sold if terms.allows(each.offering.name)]
    listed = {"object": "list", "data": [described(each.offering) for each in sold]}
    await request.answer(200, msgspec.json.encode(listed), JSON_TYPE)


async def retrieve_model(_plane: Plane, snapshot: Snapshot, principal: Principal, request: Request) -> None:
    name = str(request.scope["path"]).removeprefix(PATH)
    sold = snapshot.sold_to(principal.tenant_id, name)
    if sold is None or (request.terms is not None and not request.terms.allows(name)):
        raise UnknownModel(f"The model {name[:200]!r} does not exist or you do not have access to it.", "model")
    await request.answer(200, msgspec.json.encode(described(sold.offering)), JSON_TYPE)


def described(offering: Offering) -> dict[str, Any]:
    """A model as OpenAI describes one, with vLLM's name for the length of its context."""
    return {
        "id": offering.name,
        "object": "model",
        "created": offering.created_at_s,
        "owned_by": "tokenworks",
        "max_model_len": offering.context_tokens_max,
    }
