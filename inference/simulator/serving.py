"""The HTTP server around a simulated worker: uvicorn with httptools on one socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from inference.simulator.worker import SimulatedWorker

SHUTDOWN_TIMEOUT_S = 3


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one. Raises OSError where the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _server(worker: SimulatedWorker) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            worker,
            http="httptools",
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,  # The worker sends its own, which says that it is simulated.
            timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
        )
    )


async def serve(worker: SimulatedWorker, listener: socket.socket) -> None:
    """Answer until SIGTERM or SIGINT; running answers get SHUTDOWN_TIMEOUT_S to end."""
    await _server(worker).serve(sockets=[listener])


@asynccontextmanager
async def serving(worker: SimulatedWorker, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Answer inside this event loop while the block runs; gives the base URL."""
    listener = listen(host, port)
    server = _server(worker)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield address(listener)  # The socket listens already: an early caller waits in its backlog.
    finally:
        server.should_exit = server.force_exit = True
        await running
