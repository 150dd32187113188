"""POST /v1/chat/completions"""

from gateway.asgi import Request
from gateway.errors import BadRequest, UnknownModel
from gateway.forwarding import forward
from gateway.plane import Plane
from gateway.snapshot import Snapshot, Sold
from providers.dialects.dialect import ChatCall, InvalidRequest
from providers.dialects.openai_chat import read_call
from tenants.snapshot import Principal


async def chat_completions(plane: Plane, snapshot: Snapshot, principal: Principal, request: Request) -> None:
    try:
        call = read_call(await request.body(plane.config.body_bytes_max))
    except InvalidRequest as invalid:
        raise BadRequest(invalid.message, invalid.param) from None
    sold = snapshot.sold_to(principal.tenant_id, call.model)
    if sold is None:
        raise UnknownModel(f"The model {call.model[:200]!r} does not exist or you do not have access to it.", "model")
    check_limits(call, sold)
    await forward(plane, request, principal, sold, call)


def check_limits(call: ChatCall, sold: Sold) -> None:
    """Refuse to promise more tokens than the offering gives."""
    for name, limit in call.output_limits.items():
        if limit > sold.offering.output_tokens_max:
            raise BadRequest(
                f"{name} is over the limit of {sold.offering.output_tokens_max} tokens of {sold.offering.name}.", name
            )
