"""What a gateway knows about callers: one row a key, read by plain SQL so that a gateway loads no Django."""

import msgspec

PRINCIPALS_SQL = """
SELECT k.digest, k.id, p.id, t.id, t.slug,
       CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked' WHEN t.status = 'suspended' THEN 'suspended' END
  FROM tenants_apikey k
  JOIN tenants_project p ON p.id = k.project_id
  JOIN tenants_tenant t ON t.id = p.tenant_id
"""


class Principal(msgspec.Struct, frozen=True):
    """Who a key speaks for. `refusal` says why it is turned away (`revoked`, `suspended`), or None where it is not."""

    key_id: int
    project_id: int
    tenant_id: int
    tenant_slug: str
    refusal: str | None


# The 10^-9 of the currency that gateways count in, rounded down: a budget never affords more than it says.
BUDGETS_SQL = """
SELECT 'budget:' || b.id, b.tenant_id, b.project_id, b.api_key_id, b."window", b.kind = 'money',
       CASE WHEN b.kind = 'money' THEN floor(b.amount * 1000000000)::bigint ELSE b.tokens END,
       b.hard, floor(extract(epoch FROM b.created_at))::bigint
  FROM tenants_budget b
 WHERE b.counted_at IS NOT NULL
 ORDER BY b.id
"""


class BudgetRow(msgspec.Struct, frozen=True):
    """A budget: `limit` in 10^-9 of the tenant's currency or in tokens, in windows of the tenant's time zone.

    `name` begins the name of its counters. A budget in total counts from `since_s`, seconds since the epoch.
    """

    name: str
    tenant_id: int
    project_id: int | None
    key_id: int | None
    window: str
    is_money: bool
    limit: int
    hard: bool
    since_s: int


LIMITS_SQL = """
SELECT id, tenant_id, project_id, api_key_id, requests_per_minute, tokens_per_minute, parallel_requests,
       models_allowed, ip_allowed, floor(extract(epoch FROM expires_at) * 1000000)::bigint
  FROM tenants_limit
 ORDER BY id
"""


class LimitRow(msgspec.Struct, frozen=True):
    """What a tenant, a project or a key may do at any moment; None limits nothing."""

    id: int
    tenant_id: int
    project_id: int | None
    key_id: int | None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    parallel_requests: int | None = None
    models_allowed: list[str] | None = None
    ip_allowed: list[str] | None = None
    expires_at_us: int | None = None


LIMITED_TENANTS_SQL = """
SELECT id, time_zone, when_counters_away = 'within_lease'
  FROM tenants_tenant t
 WHERE prepaid
    OR EXISTS (SELECT FROM tenants_limit WHERE tenant_id = t.id)
    OR EXISTS (SELECT FROM tenants_budget WHERE tenant_id = t.id)
 ORDER BY id
"""


class LimitedTenant(msgspec.Struct, frozen=True):
    """A tenant with limits or budgets, and whether it goes on within leases while the counters are away."""

    id: int
    time_zone: str
    goes_on: bool
