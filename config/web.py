"""The web process: `python -m config.web` serves the planes that TOKENWORKS_PLANES names, on TOKENWORKS_PORT."""

import sys

import uvicorn

from config import env
from gateway.front import bounded_http

KEEP_ALIVE_S = 75  # Longer than callers' pools keep an idle connection, so that they close it and we do not.


def main() -> None:
    try:
        from config import settings
    except env.BadSetting as problem:
        sys.exit(f"tokenworks does not start: {problem}")
    uvicorn.run(
        "config.asgi:application",
        host=settings.TOKENWORKS_HOST,
        port=settings.TOKENWORKS_PORT,
        loop="uvloop",
        http=bounded_http(settings.TOKENWORKS_REQUEST_TIMEOUT_S),
        ws="none",
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.TOKENWORKS_GRACE_S,
        access_log=False,  # It would cost a line a request.
        server_header=False,
        proxy_headers=False,  # Nothing here trusts an address that a caller can write.
        log_config=settings.LOGGING,
    )


if __name__ == "__main__":
    main()
