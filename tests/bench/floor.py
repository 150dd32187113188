"""A relay that reads nothing: what two hops of bytes cost in Python, with uvloop and no gateway: `--floor`.

    python -m tests.bench.floor PORT

Each connection of a caller has one of its own to the worker. It knows no key, counts nothing and would relay anything.
"""

import asyncio
import sys
from typing import cast

import uvloop

WORKER = ("127.0.0.1", 9000)


class End(asyncio.Protocol):
    """One end of a pair: what it reads, the other one writes."""

    other: "End | None" = None
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def connection_lost(self, problem: Exception | None) -> None:
        if self.other is not None:
            self.other.transport.close()


class CallersEnd(End):
    """The caller's end. Its first request, which comes in one read, opens the other one."""

    opening: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        if self.opening is None:
            self.opening = asyncio.get_running_loop().create_task(self.open(data))
        else:
            super().data_received(data)

    async def open(self, data: bytes) -> None:
        _, self.other = await asyncio.get_running_loop().create_connection(End, *WORKER)
        self.other.other = self
        self.other.transport.write(data)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(CallersEnd, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
