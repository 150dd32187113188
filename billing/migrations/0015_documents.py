"""What documents look like, and their XML."""

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

KEPT = """
CREATE TRIGGER billing_xml_final BEFORE UPDATE OR DELETE ON billing_invoicexml
    FOR EACH ROW EXECUTE FUNCTION billing_refuse('the XML of an invoice never changes');
CREATE TRIGGER billing_brand_kept BEFORE UPDATE OR DELETE ON billing_brand
    FOR EACH ROW EXECUTE FUNCTION billing_refuse('a look of documents never changes: enter another one');
"""
NOT_KEPT = """
DROP TRIGGER billing_brand_kept ON billing_brand;
DROP TRIGGER billing_xml_final ON billing_invoicexml;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0014_terms")]

    operations = [
        migrations.CreateModel(
            name="Brand",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "language",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "all languages"),
                            ("en", "English"),
                            ("de", "German"),
                            ("fr", "French"),
                            ("zh", "Chinese"),
                            ("ja", "Japanese"),
                        ],
                        help_text="A look of one language goes before that of all.",
                        max_length=8,
                    ),
                ),
                (
                    "colour",
                    models.CharField(
                        default="#17486b",
                        max_length=7,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^#[0-9a-fA-F]{6}\\Z",
                                "Give a colour as # and six hexadecimal digits, such as #17486b.",
                            )
                        ],
                    ),
                ),
                (
                    "logo_svg",
                    models.TextField(blank=True, validators=[django.core.validators.MaxLengthValidator(400000)]),
                ),
                (
                    "closing_words",
                    models.TextField(
                        blank=True,
                        help_text="Stands below every document.",
                        validators=[django.core.validators.MaxLengthValidator(2000)],
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={"ordering": ["-created_at"]},
        ),
        migrations.CreateModel(
            name="InvoiceXml",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "syntax",
                    models.CharField(
                        choices=[("cii", "CII, as Factur-X carries it"), ("ubl", "UBL for Peppol")], max_length=8
                    ),
                ),
                ("xml", models.BinaryField()),
                ("sha256", models.CharField(max_length=64)),
                ("validated_with", models.CharField(max_length=200)),
                ("made_at", models.DateTimeField()),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="xml", to="billing.invoice"
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="invoicexml",
            constraint=models.UniqueConstraint(fields=("invoice", "syntax"), name="xml_once_in_syntax"),
        ),
        migrations.RunSQL(KEPT, NOT_KEPT),
    ]
