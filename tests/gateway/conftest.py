"""One gateway and one upstream behind it, for most tests of the data plane."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop

from gateway.snapshot import build
from tests.gateway.running import FixedSnapshots, Running, rows, running_gateway
from tests.gateway.upstreams import Upstream, running_upstream


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, object]:
    """The loop that the product runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with running_upstream() as upstream:
        yield upstream


@pytest.fixture
def snapshots(upstream: Upstream) -> FixedSnapshots:
    return FixedSnapshots(build(rows(upstream.base_url)))


@pytest.fixture
async def gateway(home: Path, snapshots: FixedSnapshots) -> AsyncIterator[Running]:
    async with running_gateway(home, snapshots) as gateway:
        yield gateway
