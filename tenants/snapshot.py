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
