"""A real Valkey for the counters: a database of its own for each worker of the test run."""

from collections.abc import Iterator

import pytest
import redis

from config import settings


@pytest.fixture
def counters_url(worker_id: str) -> Iterator[str]:
    number = 10 if worker_id == "master" else 1 + int(worker_id.removeprefix("gw")) % 8
    url = f"{settings.REDIS_URL}?db={number}"
    with redis.Redis.from_url(url) as store:
        store.flushdb()
        yield url
        store.flushdb()


@pytest.fixture
def store(counters_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(counters_url, decode_responses=True) as store:
        yield store
