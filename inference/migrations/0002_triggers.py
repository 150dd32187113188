"""Gateways hear of every change to the pools and workers that they keep in memory."""

from django.db import migrations

NOTIFY_ON = """
CREATE TRIGGER {table}_snapshot AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION tokenworks_notify_snapshot();
"""
SEEN_BY_GATEWAYS = ("inference_pool", "inference_worker")


class Migration(migrations.Migration):
    dependencies = [("inference", "0001_initial"), ("tenants", "0001_initial")]

    operations = [
        migrations.RunSQL(NOTIFY_ON.format(table=table), f"DROP TRIGGER {table}_snapshot ON {table}")
        for table in SEEN_BY_GATEWAYS
    ]
