"""The connections of this process to all workers: opened, kept alive, counted, swept and closed."""

import asyncio
import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.answer import AnswerLimits
from gateway.troubles import ConnectFailed, NoConnectionFree
from gateway.upstream import Connection

# vLLM and other uvicorn servers close a connection that was unused for 5 seconds. Ours must be closed sooner: a request
# that is written into a closing connection is lost, and is not repeated.
KEEP_ALIVE_S = 4.0
SWEEP_INTERVAL_MAX_S = 0.5


class Pool:
    """The connections to one origin, such as https://worker-3:8000. The one used last is used first."""

    def __init__(self, base_url: str, limits: AnswerLimits, connections_max: int) -> None:
        parts = urlsplit(base_url)
        self._secure = parts.scheme == "https"
        self._address = parts.hostname or ""
        self._port = parts.port or (443 if self._secure else 80)
        self._host = parts.netloc.encode()
        self._tls = ssl.create_default_context() if self._secure else None
        self._limits = limits
        self._connections_max = connections_max
        self._connecting = 0
        self.connections: set[Connection] = set()
        self.idle: list[Connection] = []

    @property
    def unused(self) -> bool:
        return not self.connections and not self._connecting

    def idle_connection(self) -> Connection | None:
        while self.idle:
            connection = self.idle.pop()
            if connection.usable:
                return connection
        return None

    async def connect(self, connect_timeout_s: float) -> Connection:
        """A new connection that is ready to send. Raises ConnectFailed."""
        if len(self.connections) + self._connecting >= self._connections_max:
            raise NoConnectionFree
        self._connecting += 1
        try:
            async with asyncio.timeout(connect_timeout_s):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self, self._host, self._limits), self._address, self._port, ssl=self._tls
                )
        except (OSError, TimeoutError) as problem:
            raise ConnectFailed(f"No connection to {self._address}:{self._port}: {problem!r}.") from problem
        finally:
            self._connecting -= 1
        if not connection.usable:
            raise ConnectFailed(f"{self._address}:{self._port} closed the connection at once.")
        self.connections.add(connection)
        return connection

    def take_back(self, connection: Connection) -> None:
        connection.note_silence()
        self.idle.append(connection)

    def forget(self, connection: Connection) -> None:
        self.connections.discard(connection)

    def sweep(self, now: float) -> None:
        """End what was silent for too long, and what was not used for KEEP_ALIVE_S."""
        self.idle = [connection for connection in self.idle if not connection.closed]
        for connection in tuple(self.connections):
            if connection.busy:
                connection.look_at_the_clock(now)
            elif now - connection.silent_since > KEEP_ALIVE_S:
                connection.close()


class Patience(NamedTuple):
    """How long one deployment is waited for, in seconds, where it is not as long as for the others."""

    connect_timeout_s: float | None = None
    first_byte_timeout_s: float | None = None
    idle_timeout_s: float | None = None


USUAL = Patience()


class UpstreamClient:
    """All connections of one gateway process."""

    def __init__(self, limits: AnswerLimits, *, connect_timeout_s: float, connections_max: int) -> None:
        self._limits = limits
        self._connect_timeout_s = connect_timeout_s
        self._connections_max = connections_max  # To one origin.
        self._sweep_interval_s = min(SWEEP_INTERVAL_MAX_S, limits.first_byte_timeout_s / 4, limits.idle_timeout_s / 4)
        self._pools: dict[str, Pool] = {}
        self._next_sweep: asyncio.TimerHandle | None = None

    async def connection(self, base_url: str, patience: Patience = USUAL) -> Connection:
        """A connection on which nothing was sent yet. Raises ConnectFailed."""
        pool = self._pools.get(base_url)
        if pool is None:
            pool = self._pools[base_url] = Pool(base_url, self._limits, self._connections_max)
            self._keep_sweeping()
        connection = pool.idle_connection()
        if connection is None:
            connection = await pool.connect(patience.connect_timeout_s or self._connect_timeout_s)
        return self._patient(connection, patience)

    def idle(self, base_url: str, patience: Patience = USUAL) -> Connection | None:
        """As `connection`, without waiting: one that is kept alive; None where there is none."""
        pool = self._pools.get(base_url)
        connection = None if pool is None else pool.idle_connection()
        return None if connection is None else self._patient(connection, patience)

    def _patient(self, connection: Connection, patience: Patience) -> Connection:
        connection.first_byte_timeout_s = patience.first_byte_timeout_s or self._limits.first_byte_timeout_s
        connection.idle_timeout_s = patience.idle_timeout_s or self._limits.idle_timeout_s
        return connection

    def connections(self) -> dict[str, int]:
        """How many there are, by base URL."""
        return {base_url: len(pool.connections) for base_url, pool in self._pools.items()}

    def close(self) -> None:
        """End every connection; whoever still reads from one is told that it was cut."""
        if self._next_sweep is not None:
            self._next_sweep.cancel()
        for pool in self._pools.values():
            for connection in tuple(pool.connections):
                connection.close()

    def _keep_sweeping(self) -> None:
        if self._next_sweep is None:
            self._next_sweep = asyncio.get_running_loop().call_later(self._sweep_interval_s, self._sweep)

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        for base_url, pool in tuple(self._pools.items()):
            pool.sweep(now)
            if pool.unused:
                del self._pools[base_url]
        self._next_sweep = None
        if self._pools:
            self._keep_sweeping()
