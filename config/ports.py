"""Ports for processes that nobody gave one."""

import random
import socket
from contextlib import ExitStack

# Below the range that kernels give to outgoing connections, so that none of those takes a port before its server does.
LOWEST, HIGHEST = 20_000, 32_000
TRIES_MAX = 1000


class NoFreePort(Exception):
    """No port of this machine could be had."""


def free_ports(count: int) -> list[int]:
    """So many different ports of the loopback address on which nothing listens now."""
    with ExitStack() as held:
        found: list[int] = []
        for _ in range(TRIES_MAX):
            if len(found) == count:
                return found
            port = random.randint(LOWEST, HIGHEST)  # noqa: S311 - not a secret
            try:
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            found.append(port)
    raise NoFreePort(f"{NoFreePort.__doc__} {TRIES_MAX} ports from {LOWEST} to {HIGHEST} were tried.")
