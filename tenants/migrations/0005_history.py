"""The table of changes, the function that writes it, and a refusal to rewrite it."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.models.history

# Nothing is kept of an update that changes only what is left out, or nothing at all.
KEEP = """
CREATE FUNCTION tokenworks_keep_history() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    left_out text[] := coalesce(TG_ARGV, '{}');
    was jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - left_out END;
    now_is jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - left_out END;
BEGIN
    IF was IS DISTINCT FROM now_is THEN
        INSERT INTO tenants_change ("table", row_id, deed, before, after, context_id, database_role)
        VALUES (TG_TABLE_NAME, coalesce(now_is, was) ->> 'id', lower(TG_OP), was, now_is, _pgh_attach_context(), session_user);
    END IF;
    RETURN NULL;
END $$;
"""
FOR_GOOD = """
CREATE FUNCTION tokenworks_refuse_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'history is never rewritten' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER tenants_change_for_good BEFORE UPDATE OR DELETE ON tenants_change
    FOR EACH ROW EXECUTE FUNCTION tokenworks_refuse_history();
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0004_tax_by_rule"), ("pghistory", "0007_auto_20250421_0444")]

    operations = [
        migrations.CreateModel(
            name="Change",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("table", models.CharField(max_length=63)),
                ("row_id", models.CharField(max_length=40)),
                (
                    "deed",
                    models.CharField(
                        choices=[("insert", "added"), ("update", "changed"), ("delete", "deleted")], max_length=6
                    ),
                ),
                ("before", models.JSONField(decoder=tenants.models.history.ExactDecoder, null=True)),
                ("after", models.JSONField(decoder=tenants.models.history.ExactDecoder, null=True)),
                ("database_role", models.CharField(max_length=63)),
                (
                    "context",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="pghistory.context",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [models.Index(fields=["table", "row_id"], name="change_of_row")],
            },
        ),
        migrations.RunSQL(KEEP, "DROP FUNCTION tokenworks_keep_history CASCADE"),
        migrations.RunSQL(FOR_GOOD, "DROP FUNCTION tokenworks_refuse_history CASCADE"),
    ]
