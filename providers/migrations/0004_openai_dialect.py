"""The dialect is named for the provider, and speaks all calls: chat completions, completions, embeddings."""

from django.db import migrations, models


def rename(apps, old, new):
    apps.get_model("providers", "Deployment").objects.filter(dialect=old).update(dialect=new)


def forwards(apps, schema_editor):
    rename(apps, "openai_chat", "openai")


def backwards(apps, schema_editor):
    rename(apps, "openai", "openai_chat")


class Migration(migrations.Migration):
    dependencies = [("providers", "0003_deployment_routing")]

    operations = [
        migrations.RemoveConstraint(model_name="deployment", name="providers_deployment_dialect"),
        migrations.RunPython(forwards, backwards),
        migrations.AlterField(
            model_name="deployment",
            name="dialect",
            field=models.CharField(
                choices=[("openai", "OpenAI: chat, completions, embeddings")], default="openai", max_length=30
            ),
        ),
        migrations.AddConstraint(
            model_name="deployment",
            constraint=models.CheckConstraint(
                condition=models.Q(("dialect", "openai")),
                name="providers_deployment_dialect",
                violation_error_message="dialect must be: openai.",
            ),
        ),
    ]
