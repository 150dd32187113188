"""What all endpoints that call a model do: read the call, find what is sold under its model's name, send it on."""

from collections.abc import Awaitable, Callable

from gateway.asgi import Request
from gateway.errors import BadRequest, Refusal, UnknownModel
from gateway.forwarding import forward
from gateway.plane import Plane
from gateway.snapshot import Snapshot, Sold
from providers.dialects.dialect import Call, InvalidRequest
from tenants.snapshot import Principal

Endpoint = Callable[[Plane, Snapshot, Principal, Request], Awaitable[None]]


def calling(read_call: Callable[[bytes], Call]) -> Endpoint:
    """The endpoint of calls that `read_call` understands; it raises InvalidRequest."""

    async def answer(plane: Plane, snapshot: Snapshot, principal: Principal, request: Request) -> None:
        try:
            body = request.body_now(plane.config.body_bytes_max)
            call = read_call(await request.body(plane.config.body_bytes_max) if body is None else body)
        except InvalidRequest as invalid:
            raise BadRequest(invalid.message, invalid.param) from None
        sold = snapshot.sold_to(principal.tenant_id, call.model)
        if sold is None:
            raise UnknownModel(
                f"The model {call.model[:200]!r} does not exist or you do not have access to it.", "model"
            )
        try:
            check_limits(call, sold)
            if request.terms is not None:
                admission, terms = plane.admission, request.terms
                held = admission.admit_at_once(terms, request, sold, call)
                call = await admission.admit(terms, request, sold, call) if held is None else held
            await forward(plane, request, principal, sold, call)
        except Refusal as refusal:
            refusal.model = call.model
            raise

    return answer


def check_limits(call: Call, sold: Sold) -> None:
    """Refuse to promise more tokens than the offering gives."""
    for name, limit in call.output_limits.items():
        if limit > sold.offering.output_tokens_max:
            raise BadRequest(
                f"{name} is over the limit of {sold.offering.output_tokens_max} tokens of {sold.offering.name}.", name
            )
