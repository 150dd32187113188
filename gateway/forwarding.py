"""Sends a request to the worker that the router names, and to another where that came to nothing."""

from functools import partial

from gateway.affinity import key_of_prefix, key_of_session
from gateway.asgi import Request
from gateway.attempt import Attempt, now_us
from gateway.errors import NoWorker, UpstreamBroken
from gateway.plane import Plane
from gateway.pool import USUAL, Patience
from gateway.relay import StreamRelay, UpstreamBusy, relay_whole
from gateway.retrying import RETRIES_MAX, refused_to_work
from gateway.snapshot import Sold
from gateway.standing import Standing
from gateway.troubles import ConnectFailed, NoConnectionFree
from gateway.upstream import Connection, request_headers
from metering.usage import Outcome
from providers.dialects import DIALECTS
from providers.dialects.dialect import Call, Kind
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
SESSION_HEADER = b"x-session-id"
PROMPTS = {Kind.CHAT: "messages", Kind.COMPLETION: "prompt"}  # What engines cache the beginning of.


async def forward(plane: Plane, request: Request, principal: Principal, sold: Sold, call: Call) -> None:
    """Send a call to a deployment of the offering and relay its answer; each attempt has its event, however it ends.

    An attempt that came to nothing goes to the next candidate while `gateway.retrying` allows it.
    """
    plane.retries.earn()
    failed: UpstreamBroken | UpstreamBusy | None = None
    retries = 0
    for deployment, worker in plane.router.candidates(sold, partial(affinity, request, principal, call)):
        if failed is not None:
            if retries == RETRIES_MAX or request.has_left() or not plane.retries.spend():
                break
            retries += 1
            request.begin_again(now_us())
        try:
            await send(plane, request, principal, call, deployment, worker)
            return
        except ConnectFailed:
            continue
        except Untouched as untouched:
            failed = untouched.why
    if failed is None:
        raise NoWorker(f"No worker can be reached for {sold.offering.name}. Try again in a moment.")
    if isinstance(failed, UpstreamBusy):
        await request.answer(failed.status, failed.body, *failed.headers)
        return
    try:
        raise failed
    finally:
        failed = None  # It knows this frame by its traceback: together they would hold the request and its body.


class Untouched(Exception):
    """The attempt came to nothing, its event is closed unbilled, and the caller has been given nothing."""

    def __init__(self, why: UpstreamBroken | UpstreamBusy) -> None:
        super().__init__(type(self).__doc__)
        self.why = why


async def send(
    plane: Plane, request: Request, principal: Principal, call: Call, deployment: Deployment, worker: Standing
) -> None:
    """One attempt at one worker. Raises ConnectFailed before anything was sent, or Untouched, or a Refusal."""
    phase = plane.router.begin(worker)
    connection: Connection | None = None
    attempt = None
    try:
        call_format = DIALECTS[deployment.dialect][call.kind]
        body = call_format.request_body(call, deployment.model_name)
        connection = plane.upstreams.idle(worker.base_url, patience(deployment))
        if connection is None:
            connection = await plane.upstreams.connection(worker.base_url, patience(deployment))
        attempt = plane.attempt(plane.journal, request, principal, deployment, call, worker.base_url)
        stream = call_format.follow(call) if call.streamed else None
        try:
            connection.send(call_format.path, HEADERS + request.id_line, *body)
            if stream is None:
                await relay_whole(attempt, connection, call_format, request)
            else:
                await StreamRelay(attempt, connection, stream, request, plane.config.event_bytes_max).run()
        finally:
            done_with(connection, attempt, lingering=stream is not None and stream.done)
    except NoConnectionFree:
        raise
    except ConnectFailed:
        plane.router.unreachable(worker, phase)
        raise
    except UpstreamBusy as busy:
        raise Untouched(busy) from None
    except UpstreamBroken as broken:
        if request.answered or attempt is None or connection is None or not came_to_nothing(attempt, connection):
            raise
        raise Untouched(broken) from None
    finally:
        if attempt is None:
            plane.router.ended(worker, phase, None, None)
        else:
            plane.router.ended(worker, phase, attempt.outcome, attempt.upstream_status)


def done_with(connection: Connection, attempt: Attempt, *, lingering: bool) -> None:
    """Give the connection back. Here and nowhere else: from then on it may be another request's."""
    connection.release(lingering=lingering)
    if attempt.is_open:
        attempt.close(Outcome.INTERRUPTED)


def came_to_nothing(attempt: Attempt, connection: Connection) -> bool:
    """Whether an attempt that failed may be made elsewhere: see `gateway.retrying`."""
    if attempt.upstream_status is None:
        return connection.unanswered
    return refused_to_work(attempt.upstream_status)


def patience(deployment: Deployment) -> Patience:
    times = (deployment.connect_timeout_s, deployment.first_byte_timeout_s, deployment.idle_timeout_s)
    return USUAL if times == (None, None, None) else Patience(*times)


def affinity(request: Request, principal: Principal, call: Call, prefix_bytes: int) -> int | None:
    """What ties a call to a worker: the session that the caller names, else how its prompt begins."""
    session = request.header(SESSION_HEADER)
    if session:
        return key_of_session(principal.tenant_id, session)
    prompt = call.members.get(PROMPTS[call.kind]) if prefix_bytes and call.kind in PROMPTS else None
    return None if prompt is None else key_of_prefix(memoryview(prompt), prefix_bytes)
