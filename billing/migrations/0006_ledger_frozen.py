"""What Postgres itself refuses of the ledger: an entry that does not balance, and any change to what was booked."""

from django.db import migrations

# Deferred: an entry and its postings come in several statements, and are judged together when they commit. The number
# of legs is kept on the entry, so that a balanced pair of postings cannot be slipped into an entry of another day.
BALANCED = """
CREATE FUNCTION billing_check_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    checked bigint := (to_jsonb(NEW) ->> TG_ARGV[0])::bigint;
    entry RECORD;
    posted bigint;
BEGIN
    SELECT * INTO entry FROM billing_entry WHERE id = checked;
    SELECT count(*) INTO posted FROM billing_posting WHERE entry_id = checked AND tenant_id = entry.tenant_id;
    IF posted <> entry.legs OR EXISTS (SELECT FROM billing_posting WHERE entry_id = checked AND tenant_id <> entry.tenant_id) THEN
        RAISE EXCEPTION 'ledger entry % has not its % postings of one tenant', entry.key, entry.legs
            USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (SELECT FROM billing_posting WHERE entry_id = checked GROUP BY currency HAVING sum(amount) <> 0) THEN
        RAISE EXCEPTION 'the postings of ledger entry % do not sum to zero', entry.key
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER billing_entry_balanced AFTER INSERT ON billing_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_check_entry('id');
CREATE CONSTRAINT TRIGGER billing_posting_balanced AFTER INSERT ON billing_posting
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_check_entry('entry_id');
"""
NOT_BALANCED = """
DROP TRIGGER billing_posting_balanced ON billing_posting;
DROP TRIGGER billing_entry_balanced ON billing_entry;
DROP FUNCTION billing_check_entry;
"""

FROZEN = """
CREATE TRIGGER {table}_final BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION billing_refuse('what was booked never changes: book a counter-entry');
"""
KEPT = """
CREATE TRIGGER {table}_kept BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse('what was booked never changes: it is never emptied');
"""

# A payment is reversed by filling its three columns once, beside its counter-entry.
PAYMENT = """
CREATE TRIGGER billing_payment_undeleted BEFORE DELETE ON billing_payment
    FOR EACH ROW EXECUTE FUNCTION billing_refuse('a payment never goes away: reverse it');
CREATE TRIGGER billing_payment_reversed_only BEFORE UPDATE ON billing_payment FOR EACH ROW
    WHEN (OLD.reversed_at IS NOT NULL OR NEW.reversed_at IS NULL
          OR to_jsonb(OLD) - '{reversed_at,reversed_by_id,reversal_reason}'::text[]
             <> to_jsonb(NEW) - '{reversed_at,reversed_by_id,reversal_reason}'::text[])
    EXECUTE FUNCTION billing_refuse('a payment never changes: reverse it, once');
"""
NOT_PAYMENT = """
DROP TRIGGER billing_payment_reversed_only ON billing_payment;
DROP TRIGGER billing_payment_undeleted ON billing_payment;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_ledger")]

    operations = [
        migrations.RunSQL(BALANCED, NOT_BALANCED),
        *(
            migrations.RunSQL(FROZEN.format(table=table), f"DROP TRIGGER {table}_final ON {table}")
            for table in ("billing_entry", "billing_posting")
        ),
        *(
            migrations.RunSQL(KEPT.format(table=table), f"DROP TRIGGER {table}_kept ON {table}")
            for table in ("billing_entry", "billing_posting", "billing_payment")
        ),
        migrations.RunSQL(PAYMENT, NOT_PAYMENT),
    ]
