"""A gateway under a real uvicorn, in the loop of the test, with a snapshot made by hand and a journal of its own."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from gateway.config import GatewayConfig
from gateway.front import bounded_http
from gateway.loading import Snapshots
from gateway.metrics.serving import WithMetrics
from gateway.server import Gateway, gateway_class
from gateway.snapshot import Rows, Snapshot
from inference.snapshot import Worker
from metering.records import Closed, Record
from providers.snapshot import Deployment, Offering
from tenants.keys import digest
from tenants.snapshot import Principal
from tests.metering.journals import read_all

ACME, MALLORY = 1, 2
ALICE_KEY = "sk-tw-alice"
MALLORY_KEY = "sk-tw-mallory"
REVOKED_KEY = "sk-tw-revoked"
SUSPENDED_KEY = "sk-tw-suspended"
MODEL = "llama-3.3-70b"
OUTPUT_TOKENS_MAX = 4096
TIMEOUT_S = 30


@dataclass
class FixedSnapshots:
    """A snapshot that a test sets."""

    current: Snapshot | None

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def age_us(self) -> int | None:
        return 1_500_000


def deployment(slug: str = "llama-at-pool", upstream: str = "pool", **changes: Any) -> Deployment:
    given = {
        "offering": MODEL,
        "upstream_kind": "pool",
        "model_name": "model-at-worker",
        "dialect": "openai",
        "priority": 0,
        "weight": 1,
    }
    return Deployment(slug=slug, upstream=upstream, **{**given, **changes})


def rows(*workers: str, deployments: list[Deployment] | None = None) -> Rows:
    """Alice of Acme may use MODEL, which `workers` of the upstream "pool" serve; Mallory may use nothing."""
    return Rows(
        principals=[
            (digest(ALICE_KEY), Principal(11, 101, ACME, "acme", None)),
            (digest(REVOKED_KEY), Principal(12, 101, ACME, "acme", "revoked")),
            (digest(MALLORY_KEY), Principal(21, 201, MALLORY, "mallory", None)),
            (digest(SUSPENDED_KEY), Principal(31, 301, 3, "late-payer", "suspended")),
        ],
        offerings=[
            Offering(MODEL, "", 131_072, OUTPUT_TOKENS_MAX, 1_700_000_000),
            Offering("not-priced", "", 131_072, OUTPUT_TOKENS_MAX, 1_700_000_000),
        ],
        deployments=[deployment()] if deployments is None else deployments,
        workers=[Worker("pool", base_url, "vllm") for base_url in workers],
        priced=[(ACME, MODEL)],
    )


def config(home: Path, **changes: Any) -> GatewayConfig:
    given = {
        "database_url": "",
        "journal_name": "gateway-1",
        "journal_fsync_ms": 1000,
        "journal_segment_bytes_max": 1 << 20,
        "body_bytes_max": 1 << 20,
        "event_bytes_max": 5 << 20,
        "answer_bytes_max": 32 << 20,
        "requests_open_max": 100,
        "connect_timeout_s": 2,
        "first_byte_timeout_s": TIMEOUT_S,
        "idle_timeout_s": TIMEOUT_S,
        "snapshot_check_s": 30,
    }
    return GatewayConfig(home=home, **{**given, **changes})


@dataclass
class Running:
    """A gateway that answers at `base_url`."""

    gateway: Gateway
    home: Path
    port: int

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def records(self) -> list[Record]:
        return read_all(self.home / "journal" / "gateway-1")

    def events(self) -> list[Closed]:
        return [record for record in self.records() if isinstance(record, Closed)]

    async def event(self) -> Closed:
        """The one event of the test, as soon as it is written."""
        await until(self.events)
        (event,) = self.events()
        return event


async def until(condition: Any) -> None:
    """Return when the condition holds; fail when it takes too long."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running_gateway(
    home: Path, snapshots: Snapshots | None, *, request_timeout_s: float = 30, **changes: Any
) -> AsyncIterator[Running]:
    given = config(home, **changes)
    gateway = gateway_class(given)(given, snapshots)
    await gateway.startup()
    server = uvicorn.Server(
        uvicorn.Config(
            WithMetrics(gateway, gateway) if gateway.config.metrics_secret else gateway,
            http=bounded_http(request_timeout_s),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
    )
    listening = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    await until(lambda: server.started)
    try:
        yield Running(gateway, home, listening.getsockname()[1])
    finally:
        server.should_exit = True
        await serving
        await gateway.shutdown()
        await asyncio.sleep(0)  # Aborted transports close in the loop's next turn.


@dataclass
class Answered:
    """An HTTP answer as it came over a raw socket."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json["error"]
        return error


def chat(**members: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "Say hello"}], **members}


def http_request(
    body: bytes = b"", *, method: str = "POST", path: str = "/v1/chat/completions", key: str | None = ALICE_KEY
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: gateway", f"content-length: {len(body)}", "connection: close"]
    if key is not None:
        lines.append(f"authorization: Bearer {key}")
    return "\r\n".join((*lines, "", "")).encode() + body


async def exchange(port: int, sent: bytes) -> Answered:
    """Send bytes, and read the answer to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(TIMEOUT_S):
            return parsed(await reader.read())
    finally:
        writer.close()
        await writer.wait_closed()


async def post(gateway: Running, body: Any, **request: Any) -> Answered:
    """POST a JSON value, or bytes as they are."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await exchange(gateway.port, http_request(sent, **request))


def parsed(answer: bytes) -> Answered:
    head, _, body = answer.partition(b"\r\n\r\n")
    status_line, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = unchunked(body)
    return Answered(int(status_line.split(" ")[1]), headers, body)


def unchunked(body: bytes) -> bytes:
    """The content of a chunked body; it must end as one, or the answer was cut."""
    content = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        if int(size, 16) == 0:
            return content
        content += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
