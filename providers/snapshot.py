"""What the gateway must know of offerings and deployments: queries, and one struct a row, fields in column order.

Postgres announces changes on the channel `tokenworks_snapshot` (migration 0002).
"""

import msgspec

OFFERINGS_SQL = """
SELECT name, description, context_tokens_max, output_tokens_max, floor(extract(epoch FROM created_at))::bigint
FROM providers_offering
WHERE enabled
ORDER BY name
"""


class Offering(msgspec.Struct, frozen=True):
    """An enabled offering; `created_at_s` is in seconds since the epoch, as /v1/models shows it."""

    name: str
    description: str
    context_tokens_max: int
    output_tokens_max: int
    created_at_s: int


DEPLOYMENTS_SQL = """
SELECT deployment.slug, offering.name, upstream.slug, upstream.kind,
       deployment.model_name, deployment.dialect, deployment.priority, deployment.weight,
       deployment.relative_cost, deployment.overflow_queue_max, deployment.prefix_bytes,
       deployment.connect_timeout_s, deployment.first_byte_timeout_s, deployment.idle_timeout_s
FROM providers_deployment AS deployment
JOIN providers_offering AS offering ON offering.id = deployment.offering_id
JOIN providers_upstream AS upstream ON upstream.id = deployment.upstream_id
WHERE deployment.enabled AND offering.enabled AND upstream.enabled
ORDER BY offering.name, deployment.priority, deployment.relative_cost, deployment.slug
"""


class Deployment(msgspec.Struct, frozen=True):
    """An enabled deployment of an enabled offering at an enabled upstream.

    `overflow_queue_max` is None where its queue may grow, a time-out is None where the gateway's own holds.
    """

    slug: str
    offering: str
    upstream: str
    upstream_kind: str
    model_name: str
    dialect: str
    priority: int
    weight: int
    relative_cost: int = 0
    overflow_queue_max: int | None = None
    prefix_bytes: int = 0
    connect_timeout_s: float | None = None
    first_byte_timeout_s: float | None = None
    idle_timeout_s: float | None = None
