"""Names stay what they are, and gateways hear of every change to what they keep in memory."""

from django.db import migrations

FINAL = """
CREATE FUNCTION providers_refuse_final_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a name in % is final: recorded usage refers to it', TG_TABLE_NAME
        USING ERRCODE = 'check_violation', HINT = 'Disable the row and add another.';
END $$;
CREATE TRIGGER providers_upstream_final BEFORE UPDATE ON providers_upstream FOR EACH ROW
    WHEN ((OLD.slug, OLD.kind) IS DISTINCT FROM (NEW.slug, NEW.kind))
    EXECUTE FUNCTION providers_refuse_final_change();
CREATE TRIGGER providers_offering_final BEFORE UPDATE ON providers_offering FOR EACH ROW
    WHEN (OLD.name IS DISTINCT FROM NEW.name)
    EXECUTE FUNCTION providers_refuse_final_change();
CREATE TRIGGER providers_deployment_final BEFORE UPDATE ON providers_deployment FOR EACH ROW
    WHEN ((OLD.slug, OLD.offering_id, OLD.upstream_id) IS DISTINCT FROM (NEW.slug, NEW.offering_id, NEW.upstream_id))
    EXECUTE FUNCTION providers_refuse_final_change();
"""
NOTIFY_ON = """
CREATE TRIGGER {table}_snapshot AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION tokenworks_notify_snapshot();
"""
SEEN_BY_GATEWAYS = ("providers_upstream", "providers_offering", "providers_deployment")


class Migration(migrations.Migration):
    dependencies = [("providers", "0001_initial"), ("tenants", "0001_initial")]

    operations = [
        migrations.RunSQL(FINAL, "DROP FUNCTION providers_refuse_final_change CASCADE"),
        *(
            migrations.RunSQL(NOTIFY_ON.format(table=table), f"DROP TRIGGER {table}_snapshot ON {table}")
            for table in SEEN_BY_GATEWAYS
        ),
    ]
