"""What the gateway must know of our own workers: a query, and one struct a row, fields in column order.

Postgres announces changes on the channel `tokenworks_snapshot` (migration 0002).
"""

import msgspec

WORKERS_SQL = """
SELECT upstream.slug, worker.base_url, worker.engine, worker.requests_running_max
FROM inference_worker AS worker
JOIN inference_pool AS pool ON pool.id = worker.pool_id
JOIN providers_upstream AS upstream ON upstream.id = pool.upstream_id
WHERE worker.enabled AND upstream.enabled
ORDER BY upstream.slug, worker.base_url
"""


class Worker(msgspec.Struct, frozen=True):
    """An enabled worker: `base_url` has scheme, host and port only, such as http://127.0.0.1:9101.

    `requests_running_max` is None where nobody said how many requests it works on at once.
    """

    upstream: str
    base_url: str
    engine: str
    requests_running_max: int | None = None
