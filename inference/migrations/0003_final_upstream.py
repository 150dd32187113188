"""A pool stays behind its upstream: the cost of recorded usage is looked for by the upstream's deployments."""

from django.db import migrations

FINAL = """
CREATE TRIGGER inference_pool_final BEFORE UPDATE ON inference_pool FOR EACH ROW
    WHEN (OLD.upstream_id IS DISTINCT FROM NEW.upstream_id)
    EXECUTE FUNCTION providers_refuse_final_change();
"""


class Migration(migrations.Migration):
    dependencies = [("inference", "0002_triggers"), ("providers", "0002_triggers")]

    operations = [migrations.RunSQL(FINAL, "DROP TRIGGER inference_pool_final ON inference_pool")]
