"""One web process: the gateway on /v1, the office on everything else, or either alone (TOKENWORKS_PLANES).

A gateway process never loads Django: the office is built only where it is wanted.
"""

import gc
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

from config import env
from config.bodies import BoundedBodies

try:
    from config import settings
except env.BadSetting as problem:
    sys.exit(f"tokenworks does not start: {problem}")

from gateway.config import GatewayConfig
from gateway.server import Gateway, gateway_class

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

GATEWAY_PATH = "/v1/"
BODY_SLACK_BYTES = 64 * 1024  # So that a small excess is refused by the view, which says why and keeps the connection.

# A request that ends well leaves no reference cycle. Looking for some at every 700 new objects, as Python does, took a
# tenth of it all. One that fails may leave some, and its body with them, so they must not wait for long either.
COLLECT_AFTER_OBJECTS = 5_000


def gateway_config() -> GatewayConfig:
    """The gateway's part of the settings."""
    return GatewayConfig(
        database_url=settings.DATABASE_URL,
        redis_url=settings.REDIS_URL,
        home=settings.TOKENWORKS_HOME,
        journal_name=settings.TOKENWORKS_JOURNAL_NAME,
        journal_fsync_ms=settings.TOKENWORKS_JOURNAL_FSYNC_MS,
        journal_segment_bytes_max=settings.TOKENWORKS_JOURNAL_SEGMENT_BYTES_MAX,
        body_bytes_max=settings.TOKENWORKS_BODY_BYTES_MAX,
        event_bytes_max=settings.TOKENWORKS_EVENT_BYTES_MAX,
        answer_bytes_max=settings.TOKENWORKS_ANSWER_BYTES_MAX,
        requests_open_max=settings.TOKENWORKS_REQUESTS_OPEN_MAX,
        connect_timeout_s=settings.TOKENWORKS_CONNECT_TIMEOUT_S,
        first_byte_timeout_s=settings.TOKENWORKS_FIRST_BYTE_TIMEOUT_S,
        idle_timeout_s=settings.TOKENWORKS_IDLE_TIMEOUT_S,
        probe_interval_s=settings.TOKENWORKS_PROBE_INTERVAL_S,
        retry_percent=settings.TOKENWORKS_RETRY_PERCENT,
        snapshot_check_s=settings.TOKENWORKS_SNAPSHOT_CHECK_S,
        metrics_secret=settings.TOKENWORKS_METRICS_SECRET if settings.TOKENWORKS_METRICS else "",
        spans_url=settings.TOKENWORKS_SPANS_URL,
        spans_percent=settings.TOKENWORKS_SPANS_PERCENT,
    )


def office() -> App:
    """Django, loaded only when this is called. Nothing that it takes is longer than reported usage."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.asgi import get_asgi_application

    django = cast(App, get_asgi_application())  # Django says dict where ASGI says mapping.
    return BoundedBodies(django, settings.TOKENWORKS_INGEST_BODY_BYTES_MAX + BODY_SLACK_BYTES)


def build(planes: str) -> App:
    """An ASGI application that serves `planes` (gateway, office or both) and answers `lifespan` itself."""
    config = gateway_config()
    gateway = gateway_class(config)(config) if planes in ("gateway", "both") else None
    django = office() if planes in ("office", "both") else None

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(gateway, receive, send)
        elif gateway and (django is None or f"{scope['path']}/".startswith(GATEWAY_PATH)):
            await gateway(scope, receive, send)
        elif django:
            await django(scope, receive, send)

    if gateway is None or not settings.TOKENWORKS_METRICS:
        return application
    from gateway.metrics.serving import WithMetrics

    return WithMetrics(application, gateway)


async def lifespan(gateway: Gateway | None, receive: Receive, send: Send) -> None:
    """Open the gateway before the first request and close it after the last; where it cannot open, say why and stop."""
    await receive()
    try:
        if gateway:
            await gateway.startup()
    except Exception as problem:  # Whatever it is, uvicorn must be told, or it would wait forever.
        await send({"type": "lifespan.startup.failed", "message": f"{type(problem).__name__}: {problem}"})
        return
    gc.freeze()  # What lives as long as the process is not looked at again.
    gc.set_threshold(COLLECT_AFTER_OBJECTS, 10, 10)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    if gateway:
        await gateway.shutdown()
    await send({"type": "lifespan.shutdown.complete"})


application = build(settings.TOKENWORKS_PLANES)
