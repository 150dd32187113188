"""What Postgres itself refuses, whoever asks: changing published prices and final invoices.

Refusals carry the code of a violated check, so that Django raises IntegrityError.
"""

from django.db import migrations

EXACT = """
ALTER TABLE billing_pricebookversion
    ADD CONSTRAINT version_on_quarter_hour CHECK (extract(epoch FROM valid_from) % 900 = 0);
ALTER TABLE billing_plan
    ADD CONSTRAINT plan_on_quarter_hour CHECK (extract(epoch FROM starts_at) % 900 = 0);
ALTER TABLE billing_rate
    ADD CONSTRAINT rate_exact CHECK (mod(amount * 1000000000000, per) = 0);
"""
NOT_EXACT = """
ALTER TABLE billing_pricebookversion DROP CONSTRAINT version_on_quarter_hour;
ALTER TABLE billing_plan DROP CONSTRAINT plan_on_quarter_hour;
ALTER TABLE billing_rate DROP CONSTRAINT rate_exact;
"""

REFUSE = """
CREATE FUNCTION billing_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'check_violation';
END $$;
"""

# Refuses to touch a row whose parent is frozen. The share lock makes freezing wait for a row that is on its way in, so
# that none slips in unseen.
REFUSE_PART = """
CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    parent RECORD;
BEGIN
    FOR parent IN SELECT {frozen} AS frozen FROM {table}
      WHERE id IN (CASE WHEN TG_OP <> 'DELETE' THEN NEW.{key} END, CASE WHEN TG_OP <> 'INSERT' THEN OLD.{key} END)
        FOR SHARE
    LOOP
        IF parent.frozen THEN
            RAISE EXCEPTION '{reason}' USING ERRCODE = 'check_violation';
        END IF;
    END LOOP;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END $$;
"""
REFUSE_RATE = REFUSE_PART.format(
    function="billing_refuse_published_rate",
    table="billing_pricebookversion",
    key="version_id",
    frozen="published_at IS NOT NULL",
    reason="the rates of a published version of a price book never change",
)
REFUSE_LINE = REFUSE_PART.format(
    function="billing_refuse_final_part",
    table="billing_invoice",
    key="invoice_id",
    frozen="status = 'final'",
    reason="the lines and the annex of a final invoice never change",
)

PUBLISHED = """
CREATE TRIGGER billing_version_published BEFORE UPDATE OR DELETE ON billing_pricebookversion
    FOR EACH ROW WHEN (OLD.published_at IS NOT NULL)
    EXECUTE FUNCTION billing_refuse('a published version of a price book never changes');

CREATE TRIGGER billing_rate_published BEFORE INSERT OR UPDATE OR DELETE ON billing_rate
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_published_rate();

CREATE TRIGGER billing_plan_begun BEFORE UPDATE OR DELETE ON billing_plan
    FOR EACH ROW WHEN (OLD.starts_at <= now())
    EXECUTE FUNCTION billing_refuse('a plan that has begun never changes: let another one follow it');
"""
NOT_PUBLISHED = """
DROP TRIGGER billing_plan_begun ON billing_plan;
DROP TRIGGER billing_rate_published ON billing_rate;
DROP TRIGGER billing_version_published ON billing_pricebookversion;
"""

FINAL = """
CREATE FUNCTION billing_check_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.net IS DISTINCT FROM (SELECT sum(amount) FROM billing_invoiceline WHERE invoice_id = NEW.id) THEN
        RAISE EXCEPTION 'the lines of invoice % do not sum to its net amount', NEW.number USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER billing_invoice_adds_up BEFORE UPDATE ON billing_invoice
    FOR EACH ROW WHEN (OLD.status <> 'final' AND NEW.status = 'final') EXECUTE FUNCTION billing_check_final();

CREATE TRIGGER billing_invoice_begins_as_draft BEFORE INSERT ON billing_invoice
    FOR EACH ROW WHEN (NEW.status <> 'draft')
    EXECUTE FUNCTION billing_refuse('an invoice begins as a draft');

CREATE TRIGGER billing_invoice_final BEFORE UPDATE OR DELETE ON billing_invoice
    FOR EACH ROW WHEN (OLD.status = 'final')
    EXECUTE FUNCTION billing_refuse('a final invoice never changes');

CREATE TRIGGER billing_period_closed BEFORE UPDATE OR DELETE ON billing_period
    FOR EACH ROW WHEN (OLD.status = 'closed')
    EXECUTE FUNCTION billing_refuse('a closed period never changes');

CREATE TRIGGER billing_document_final BEFORE UPDATE OR DELETE ON billing_invoicedocument
    FOR EACH ROW EXECUTE FUNCTION billing_refuse('the document of an invoice never changes');

CREATE TRIGGER billing_line_final BEFORE INSERT OR UPDATE OR DELETE ON billing_invoiceline
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_final_part();
CREATE TRIGGER billing_usage_final BEFORE INSERT OR UPDATE OR DELETE ON billing_invoiceusage
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_final_part();
"""
NOT_FINAL = """
DROP TRIGGER billing_usage_final ON billing_invoiceusage;
DROP TRIGGER billing_line_final ON billing_invoiceline;
DROP TRIGGER billing_document_final ON billing_invoicedocument;
DROP TRIGGER billing_period_closed ON billing_period;
DROP TRIGGER billing_invoice_final ON billing_invoice;
DROP TRIGGER billing_invoice_begins_as_draft ON billing_invoice;
DROP TRIGGER billing_invoice_adds_up ON billing_invoice;
DROP FUNCTION billing_check_final;
"""

NOTIFY_ON = """
CREATE TRIGGER {table}_snapshot AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION tokenworks_notify_snapshot();
"""
SEEN_BY_GATEWAYS = ("billing_plan", "billing_pricebookversion", "billing_rate")


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial"), ("tenants", "0001_initial")]

    operations = [
        migrations.RunSQL(EXACT, NOT_EXACT),
        migrations.RunSQL(REFUSE, "DROP FUNCTION billing_refuse"),
        migrations.RunSQL(REFUSE_RATE, "DROP FUNCTION billing_refuse_published_rate"),
        migrations.RunSQL(REFUSE_LINE, "DROP FUNCTION billing_refuse_final_part"),
        migrations.RunSQL(PUBLISHED, NOT_PUBLISHED),
        migrations.RunSQL(FINAL, NOT_FINAL),
        *(
            migrations.RunSQL(NOTIFY_ON.format(table=table), f"DROP TRIGGER {table}_snapshot ON {table}")
            for table in SEEN_BY_GATEWAYS
        ),
    ]
