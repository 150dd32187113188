"""Asks every worker now and then whether it is well and what it has to do: one task a process, none a request.

`GET /health` tells the first (any answer below 500 will do: not every engine has this page) and `GET /metrics`, under
vLLM's names, the second. A worker is ill when two probes in a row went unanswered, and well with the next answer.
"""

import asyncio
import logging
import random
import re
from collections.abc import Iterator

from gateway.answer import AnswerLimits
from gateway.loading import Snapshots
from gateway.pool import UpstreamClient
from gateway.routing import Router
from gateway.standing import EngineLoad
from gateway.troubles import UpstreamTimeout, UpstreamTrouble
from gateway.upstream import Connection

PROBE_TIMEOUT_S = 2.0  # For each of the two pages, and for connecting.
PROBES_AT_ONCE = 16
PAGE_BYTES_MAX = 8 * 2**20
REQUESTS_MAX = 10**9  # More than that at one engine is no count.

_REQUESTS = re.compile(rb"^vllm:num_requests_(running|waiting)(?:\{[^\n]*\})? ([0-9.eE+]+)$", re.MULTILINE)

log = logging.getLogger(__name__)


def read_load(page: bytes) -> EngineLoad | None:
    """Requests at an engine, all its parts together, from its metrics; None where they do not say."""
    counts: dict[bytes, float] = {}
    for name, value in _REQUESTS.findall(page):
        try:
            counts[name] = counts.get(name, 0) + float(value)
        except ValueError:
            return None
    if len(counts) < 2 or max(counts.values()) > REQUESTS_MAX:
        return None
    return EngineLoad(int(counts[b"running"]), int(counts[b"waiting"]))


class Prober:
    """Probes the workers of the snapshot in rounds, PROBES_AT_ONCE at a time, and tells the router's standings."""

    def __init__(self, router: Router, snapshots: Snapshots, interval_s: float) -> None:
        self._router = router
        self._snapshots = snapshots
        self._interval_s = interval_s
        limits = AnswerLimits(64 * 1024, PAGE_BYTES_MAX, PROBE_TIMEOUT_S, PROBE_TIMEOUT_S)
        self._client = UpstreamClient(limits, connect_timeout_s=PROBE_TIMEOUT_S, connections_max=1)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="probes")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._client.close()

    async def _run(self) -> None:
        while True:
            try:
                await self.round()
            except Exception:  # Whatever it is: if this task ended, an ill worker would stay so for ever.
                log.exception("A round of probes failed by a mistake of ours.")
            # Gateways that were started together must not ask together for ever.
            await asyncio.sleep(self._interval_s * random.uniform(0.8, 1.2))  # noqa: S311  # no secret

    async def round(self) -> None:
        """Probe every worker once."""
        if self._snapshots.current is None:
            return
        base_urls = self._snapshots.current.worker_urls()
        self._router.keep(base_urls)
        to_do = iter(base_urls)
        await asyncio.gather(*(self._probe_each(to_do) for _ in range(min(PROBES_AT_ONCE, len(base_urls)))))

    async def _probe_each(self, base_urls: Iterator[str]) -> None:
        for base_url in base_urls:
            await self._probe(base_url)

    async def _probe(self, base_url: str) -> None:
        worker = self._router.standing(base_url)
        was_ill = worker.ill
        try:
            load = await self._look_at(base_url)
        except (UpstreamTrouble, TimeoutError) as trouble:
            worker.probe_failed()
            if worker.ill and not was_ill:
                log.warning("Worker %s is ill: %s", base_url, trouble)
            return
        worker.probed(load)
        if was_ill:
            log.warning("Worker %s is well again.", base_url)
            self._router.recovered(worker)

    async def _look_at(self, base_url: str) -> EngineLoad | None:
        """What it has to do, if it says so. Raises UpstreamTrouble when it is not well."""
        connection = await self._client.connection(base_url)
        try:
            status, _ = await page(connection, b"/health")
            if status >= 500:
                raise UpstreamTrouble(f"/health answered with status {status}.")
            try:
                status, text = await page(connection, b"/metrics")
            except UpstreamTrouble:
                return None  # It is well, and keeps to itself what it has to do.
            return read_load(text) if status == 200 else None
        finally:
            connection.close()


async def page(connection: Connection, path: bytes) -> tuple[int, bytes]:
    """Status and body of a page. Raises UpstreamTrouble."""
    if not connection.usable:
        raise UpstreamTrouble("The connection was closed.")
    connection.ask(path)
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            return await connection.head(), await connection.read_all()
    except TimeoutError:
        raise UpstreamTimeout(f"{path.decode()} took over {PROBE_TIMEOUT_S:g} seconds.") from None
