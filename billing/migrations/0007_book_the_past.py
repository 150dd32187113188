"""Books the final invoices and wallet credits that were there before the ledger, with the keys that it uses."""

from django.db import migrations

# A rate is a whole number of 10^-12 a unit, so the quotient is exact.
INVOICES = """
WITH exact AS (
    SELECT invoice_id, sum(quantity * round(unit_amount / per, 12)) AS revenue
      FROM billing_invoiceline GROUP BY invoice_id
), due AS (
    SELECT i.*, e.revenue
      FROM billing_invoice i JOIN exact e ON e.invoice_id = i.id
     WHERE i.status = 'final' AND NOT EXISTS (SELECT FROM billing_entry WHERE key = 'invoice:' || i.id)
), entry AS (
    INSERT INTO billing_entry (tenant_id, kind, key, invoice_id, occurred_on, booked_at, memo, legs)
    SELECT tenant_id, 'invoice', 'invoice:' || id, id, issued_on, now(), number,
           2 + (revenue <> net)::int + (tax <> 0)::int
      FROM due ORDER BY id
    RETURNING id, invoice_id
)
INSERT INTO billing_posting (entry_id, account, tenant_id, currency, amount)
SELECT entry.id, leg.account, due.tenant_id, due.currency, leg.amount
  FROM entry JOIN due ON due.id = entry.invoice_id
 CROSS JOIN LATERAL (VALUES (1, 'receivable', due.gross), (2, 'revenue', -due.revenue),
                            (3, 'rounding', due.revenue - due.net), (4, 'tax', -due.tax)) leg (place, account, amount)
 WHERE leg.place <= 2 OR leg.amount <> 0
 ORDER BY entry.id, leg.place;
"""
WALLETS = """
WITH due AS (
    SELECT c.*, t.currency, t.time_zone
      FROM billing_walletcredit c JOIN tenants_tenant t ON t.id = c.tenant_id
     WHERE NOT EXISTS (SELECT FROM billing_entry WHERE key = 'wallet_credit:' || c.id)
), entry AS (
    INSERT INTO billing_entry (tenant_id, kind, key, occurred_on, booked_at, memo, legs)
    SELECT tenant_id, 'wallet_credit', 'wallet_credit:' || id, (created_at AT TIME ZONE time_zone)::date, now(), note, 2
      FROM due ORDER BY id
    RETURNING id, key
)
INSERT INTO billing_posting (entry_id, account, tenant_id, currency, amount)
SELECT entry.id, leg.account, due.tenant_id, due.currency, leg.amount
  FROM entry JOIN due ON entry.key = 'wallet_credit:' || due.id
 CROSS JOIN LATERAL (VALUES (1, 'cash', due.amount), (2, 'wallet_liability', -due.amount)) leg (place, account, amount)
 ORDER BY entry.id, leg.place;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_ledger_frozen")]

    operations = [
        migrations.RunSQL(INVOICES, migrations.RunSQL.noop),
        migrations.RunSQL(WALLETS, migrations.RunSQL.noop),
    ]
