"""What Postgres itself refuses of wallets: drawing more than a credit holds, and changing what was drawn or settled."""

from django.db import migrations

# The lock lets draws of a credit wait for each other, so that two at once cannot both take the rest of it.
DRAWS = """
CREATE FUNCTION billing_check_draw() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    credit RECORD;
    drawn numeric;
BEGIN
    SELECT * INTO credit FROM billing_walletcredit WHERE id = NEW.credit_id FOR NO KEY UPDATE;
    IF credit.tenant_id <> NEW.tenant_id
       OR EXISTS (SELECT FROM billing_invoice WHERE id = NEW.invoice_id AND tenant_id <> NEW.tenant_id) THEN
        RAISE EXCEPTION 'wallet credit % is another tenant''s', NEW.credit_id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.kind = 'refund' AND credit.kind <> 'bought' THEN
        RAISE EXCEPTION 'wallet credit % was not paid for: nothing of it is refunded', NEW.credit_id
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT coalesce(sum(amount), 0) + NEW.amount INTO drawn FROM billing_walletdraw WHERE credit_id = NEW.credit_id;
    IF drawn < least(0, credit.amount) OR drawn > greatest(0, credit.amount) THEN
        RAISE EXCEPTION 'wallet credit % over % would be drawn to %', NEW.credit_id, credit.amount, drawn
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER billing_walletdraw_fits BEFORE INSERT ON billing_walletdraw
    FOR EACH ROW EXECUTE FUNCTION billing_check_draw();
CREATE TRIGGER billing_walletdraw_of_a_draft BEFORE INSERT ON billing_walletdraw
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_final_part();
"""
NOT_DRAWS = """
DROP TRIGGER billing_walletdraw_of_a_draft ON billing_walletdraw;
DROP TRIGGER billing_walletdraw_fits ON billing_walletdraw;
DROP FUNCTION billing_check_draw;
"""

FINAL = """
CREATE FUNCTION billing_check_wallet() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    drawn RECORD;
    given numeric;
BEGIN
    SELECT coalesce(sum(d.amount) FILTER (WHERE c.kind = 'bought'), 0) AS bought,
           coalesce(sum(d.amount) FILTER (WHERE c.kind = 'granted'), 0) AS granted
      INTO drawn
      FROM billing_walletdraw d JOIN billing_walletcredit c ON c.id = d.credit_id
     WHERE d.invoice_id = NEW.id;
    SELECT coalesce(-sum(amount), 0) INTO given
      FROM billing_invoiceline WHERE invoice_id = NEW.id AND kind = 'grant';
    IF NEW.prepaid <> drawn.bought OR (NEW.kind = 'invoice' AND given <> drawn.granted) THEN
        RAISE EXCEPTION 'invoice % shows % paid and % granted by its wallet, which gave % and %',
            NEW.number, NEW.prepaid, given, drawn.bought, drawn.granted USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER billing_invoice_wallet_adds_up BEFORE UPDATE ON billing_invoice
    FOR EACH ROW WHEN (OLD.status <> 'final' AND NEW.status = 'final') EXECUTE FUNCTION billing_check_wallet();
"""
NOT_FINAL = """
DROP TRIGGER billing_invoice_wallet_adds_up ON billing_invoice;
DROP FUNCTION billing_check_wallet;
"""

FROZEN = """
CREATE TRIGGER {table}_final BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION billing_refuse('{said}');
CREATE TRIGGER {table}_kept BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse('{said}');
"""
NOT_FROZEN = """
DROP TRIGGER {table}_kept ON {table};
DROP TRIGGER {table}_final ON {table};
"""
SAID = {
    "billing_walletdraw": "what was drawn from a wallet never changes",
    "billing_settlement": "what was written off or paid back never changes",
}
NOTIFY = """
CREATE TRIGGER billing_walletdraw_snapshot AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON billing_walletdraw
    FOR EACH STATEMENT EXECUTE FUNCTION tokenworks_notify_snapshot();
"""

# Money was taken back by a credit below zero, until refunds were there. It is netted with the credits before it, the
# oldest first: each credit covers a stretch of the sum of all, and so does what was taken back.
NETTED = """
WITH credit AS (
    SELECT id, tenant_id, amount,
           sum(abs(amount)) OVER (PARTITION BY tenant_id, amount > 0 ORDER BY created_at, id) AS until
      FROM billing_walletcredit
), pair AS (
    SELECT p.tenant_id, p.id AS gives, n.id AS takes,
           least(p.until, n.until) - greatest(p.until - p.amount, n.until + n.amount) AS amount
      FROM credit p JOIN credit n ON n.tenant_id = p.tenant_id AND n.amount < 0
     WHERE p.amount > 0
)
INSERT INTO billing_walletdraw (tenant_id, credit_id, kind, amount, reason, created_at)
SELECT tenant_id, gives, 'netted', amount, '', now() FROM pair WHERE amount > 0
 UNION ALL
SELECT tenant_id, takes, 'netted', -amount, '', now() FROM pair WHERE amount > 0;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0012_wallets_that_pay")]

    operations = [
        migrations.RunSQL(DRAWS, NOT_DRAWS),
        migrations.RunSQL(FINAL, NOT_FINAL),
        *(
            migrations.RunSQL(FROZEN.format(table=table, said=said), NOT_FROZEN.format(table=table))
            for table, said in SAID.items()
        ),
        migrations.RunSQL(NOTIFY, "DROP TRIGGER billing_walletdraw_snapshot ON billing_walletdraw"),
        migrations.RunSQL(NETTED, migrations.RunSQL.noop),
    ]
