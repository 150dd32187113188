"""Finds an upstream that can be reached, and sends a request through it."""

from gateway.asgi import Request
from gateway.attempt import Attempt
from gateway.errors import NoWorker
from gateway.plane import Plane
from gateway.relay import StreamRelay, relay_whole
from gateway.snapshot import Sold
from gateway.troubles import ConnectFailed
from gateway.upstream import Connection, request_headers
from metering.usage import Outcome
from providers.dialects import DIALECTS
from providers.dialects.dialect import Call
from providers.snapshot import Deployment
from tenants.snapshot import Principal

HEADERS = request_headers(
    (
        (b"content-type", b"application/json"),
        (b"accept", b"application/json, text/event-stream"),
        (b"accept-encoding", b"identity"),  # What is compressed cannot be counted.
        (b"user-agent", b"tokenworks"),
    )
)


async def forward(plane: Plane, request: Request, principal: Principal, sold: Sold, call: Call) -> None:
    """Send a call to a deployment of the offering and relay its answer; its event is written, however it ends."""
    deployment, connection = await connect(plane, sold)
    call_format = DIALECTS[deployment.dialect][call.kind]
    body = call_format.request_body(call, deployment.model_name)
    attempt = Attempt(plane.journal, request, principal, deployment, call.streamed)
    stream = call_format.follow(call) if call.streamed else None
    try:
        connection.send(call_format.path, HEADERS + request.id_line, body)
        if stream is None:
            await relay_whole(attempt, connection, call_format, request)
        else:
            await StreamRelay(attempt, connection, stream, request, plane.config.event_bytes_max).run()
    finally:
        # Here and nowhere else: once given back, the connection may at once be another request's.
        connection.release(lingering=stream is not None and stream.done)
        if attempt.is_open:
            attempt.close(Outcome.INTERRUPTED)


async def connect(plane: Plane, sold: Sold) -> tuple[Deployment, Connection]:
    """The first worker that can be reached, in the order of the router. Nothing has been sent to any of them."""
    for deployment, worker in plane.router.candidates(sold):
        try:
            return deployment, await plane.upstreams.connection(worker)
        except ConnectFailed:
            plane.router.failed(worker)
    raise NoWorker(f"No worker can be reached for {sold.offering.name}. Try again in a moment.")
