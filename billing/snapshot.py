"""What a gateway knows about prices: which offerings each tenant's plan prices now. Plain SQL, no Django.

No price, no service: what is not listed here is an unknown model to its caller. A version or a plan that begins
later changes this answer without any row changing; a gateway sees that at its next full check.
"""

PRICED_OFFERINGS_SQL = """
SELECT DISTINCT plan.tenant_id, rate.offering
  FROM (SELECT DISTINCT ON (tenant_id) tenant_id, price_book_id
          FROM billing_plan
         WHERE starts_at <= now()
         ORDER BY tenant_id, starts_at DESC) plan
  JOIN LATERAL (SELECT id
                  FROM billing_pricebookversion
                 WHERE price_book_id = plan.price_book_id AND published_at IS NOT NULL AND valid_from <= now()
                 ORDER BY valid_from DESC
                 LIMIT 1) version ON true
  JOIN billing_rate rate ON rate.version_id = version.id
"""
