"""What a gateway knows about prices: which offerings each tenant's plan prices now. Plain SQL, no Django.

No price, no service: what is not listed here is an unknown model to its caller. A gateway asks for answers without a
grade, of the standard service tier, so these have to have a price. A version or a plan that begins later changes this
answer without any row changing; a gateway sees that at its next full check.

Tenants whose money is budgeted or prepaid have their plans and prices here besides, so that a gateway prices by
`billing.rating`, as the invoice does.
"""

import msgspec

from billing.matching import ANY
from billing.price_kinds import PriceKind
from metering.usage import ServiceTier

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
 WHERE rate.grade IN ('', 'any') AND rate.service_tier IN ('standard', 'any')
"""

# A wallet is a hard budget of what it affords before tax: granted credit, and bought credit without its share of tax.
# It counts anew from the end of the last final invoice, which drew what came before; what was used before the first
# payment is not its matter. A budget is not by offering, so a restricted credit counts only where it pays for all that
# the plan prices. A tenant whose tax no row sets pays the rate of its last invoice, or else the higher one of its own
# country's and the seller's.
WALLETS_SQL = """
WITH priced AS (
    SELECT tenant_id, array_agg(offering::text) AS offerings FROM (priced_offerings) priced GROUP BY tenant_id
), wallet AS (
    SELECT c.tenant_id, min(c.created_at) AS began_at,
           sum(c.amount - drawn.amount) FILTER (WHERE c.kind = 'bought' AND usable) AS bought,
           sum(c.amount - drawn.amount) FILTER (WHERE c.kind = 'granted' AND usable) AS granted
      FROM billing_walletcredit c
      LEFT JOIN priced ON priced.tenant_id = c.tenant_id
     CROSS JOIN LATERAL (SELECT coalesce(sum(amount), 0) AS amount
                           FROM billing_walletdraw WHERE credit_id = c.id) drawn
     CROSS JOIN LATERAL (SELECT (c.expires_at IS NULL OR c.expires_at > now())
                            AND (c.offerings = '{}' OR c.offerings @> priced.offerings) AS usable) state
     GROUP BY c.tenant_id
), invoiced AS (
    SELECT DISTINCT ON (i.tenant_id) i.tenant_id, i.usage_until,
           (SELECT max(rate_percent) FROM billing_invoicetax WHERE invoice_id = i.id) AS percent
      FROM billing_invoice i
     WHERE i.status = 'final' AND i.kind = 'invoice'
     ORDER BY i.tenant_id, i.usage_until DESC
), taxed AS (
    SELECT t.id AS tenant_id, coalesce(t.tax_rate_percent, invoiced.percent, (
               SELECT max(percent)
                 FROM (SELECT DISTINCT ON (country) percent FROM billing_taxrate
                        WHERE valid_from <= now()
                          AND (country = t.country OR country IN (SELECT country FROM billing_seller))
                        ORDER BY country, valid_from DESC) rate), 0) AS percent
      FROM tenants_tenant t
      LEFT JOIN invoiced ON invoiced.tenant_id = t.id
     WHERE t.prepaid
)
SELECT 'wallet:' || t.id, t.id, NULL::bigint, NULL::bigint, 'total', true,
       greatest(0, floor((coalesce(wallet.granted, 0) + coalesce(wallet.bought, 0) * 100 / (100 + taxed.percent))
                         * 1000000000))::bigint,
       true,
       floor(extract(epoch FROM greatest(coalesce(wallet.began_at, t.created_at),
                                         date_bin('15 minutes', invoiced.usage_until, 'epoch'))))::bigint
  FROM tenants_tenant t
  JOIN taxed ON taxed.tenant_id = t.id
  LEFT JOIN wallet ON wallet.tenant_id = t.id
  LEFT JOIN invoiced ON invoiced.tenant_id = t.id
 WHERE t.prepaid
 ORDER BY t.id
""".replace("priced_offerings", PRICED_OFFERINGS_SQL)

PLANS_SQL = """
SELECT plan.tenant_id, floor(extract(epoch FROM plan.starts_at))::bigint, plan.price_book_id
  FROM billing_plan plan
  JOIN tenants_tenant t ON t.id = plan.tenant_id
 WHERE t.prepaid OR EXISTS (SELECT FROM tenants_budget WHERE tenant_id = t.id AND kind = 'money')
 ORDER BY plan.tenant_id, plan.starts_at
"""


class PlanRow(msgspec.Struct, frozen=True):
    """The book that a tenant agreed to, from `starts_s` on, seconds since the epoch."""

    tenant_id: int
    starts_s: int
    book_id: int


PRICES_SQL = """
SELECT version.price_book_id, floor(extract(epoch FROM version.valid_from))::bigint, book.currency,
       rate.offering, rate.unit, (rate.amount * 1000000000000)::numeric(50, 0)::text, rate.per,
       rate.grade, rate.service_tier, rate.kind, rate.above,
       ARRAY(SELECT (amount * 1000000000000)::numeric(50, 0)::text
               FROM unnest(rate.amounts_above) WITH ORDINALITY AS step (amount, place)
              ORDER BY place)
  FROM billing_pricebookversion version
  JOIN billing_pricebook book ON book.id = version.price_book_id
  JOIN billing_rate rate ON rate.version_id = version.id
 WHERE version.published_at IS NOT NULL
 ORDER BY version.price_book_id, version.valid_from, rate.offering, rate.unit, rate.grade, rate.service_tier
"""


class PriceRow(msgspec.Struct, frozen=True):
    """A published price: `pico` (10^-12 of the currency, as text for its length) for every `per` units.

    Above `above[n]` units a month it is `picos_above[n]`.
    """

    book_id: int
    valid_from_s: int
    currency: str
    offering: str
    unit: str
    pico: str
    per: int
    grade: str = ANY
    service_tier: str = ServiceTier.STANDARD
    kind: str = PriceKind.PER_UNIT
    above: list[int] = []
    picos_above: list[str] = []
