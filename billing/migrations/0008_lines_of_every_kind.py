"""Lines of other kinds than usage, tax by category, credit notes, and usage with its grade and tier."""

import django.db.models.deletion
from django.db import migrations, models

import metering.usage

# Exactly what the ledger booked of these lines. A rate is a whole number of 10^-12 a unit, so the quotient is exact.
EXACT_OF_THE_PAST = """
ALTER TABLE billing_invoiceline DISABLE TRIGGER billing_line_final;
UPDATE billing_invoiceline AS line
   SET exact = quantity * round(unit_amount / per, 12), tax_rate_percent = invoice.tax_rate_percent
  FROM billing_invoice invoice
 WHERE invoice.id = line.invoice_id;
ALTER TABLE billing_invoiceline ENABLE TRIGGER billing_line_final;
"""
KEPT = """
CREATE TRIGGER billing_tax_final BEFORE INSERT OR UPDATE OR DELETE ON billing_invoicetax
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_final_part();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0007_book_the_past"),
        ("tenants", "0003_keys_that_report_usage"),
    ]

    operations = [
        migrations.CreateModel(
            name="InvoiceTax",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "category",
                    models.CharField(
                        choices=[
                            ("S", "standard"),
                            ("Z", "zero rate"),
                            ("E", "exempt"),
                            ("AE", "reverse charge"),
                            ("G", "export outside the EU"),
                            ("O", "out of scope"),
                        ],
                        max_length=2,
                    ),
                ),
                ("rate_percent", models.DecimalField(decimal_places=2, max_digits=5)),
                ("net", models.DecimalField(decimal_places=12, help_text="The sum of these lines.", max_digits=38)),
                ("tax", models.DecimalField(decimal_places=12, max_digits=38)),
                ("reason", models.CharField(blank=True, help_text="Why no tax is due, where none is.", max_length=300)),
            ],
            options={
                "ordering": ["invoice", "category", "rate_percent"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="invoiceusage",
            name="annex_once_in_invoice",
        ),
        migrations.AddField(
            model_name="invoice",
            name="corrects",
            field=models.ForeignKey(
                help_text="Of a credit note.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credit_notes",
                to="billing.invoice",
            ),
        ),
        migrations.AddField(
            model_name="invoice",
            name="kind",
            field=models.CharField(
                choices=[("invoice", "Invoice"), ("credit_note", "credit note")], default="invoice", max_length=16
            ),
        ),
        migrations.AddField(
            model_name="invoice",
            name="language",
            field=models.CharField(default="en", max_length=8),
        ),
        migrations.AddField(
            model_name="invoice",
            name="prepaid",
            field=models.DecimalField(
                decimal_places=12,
                default=0,
                help_text="How much of the gross amount the tenant's wallet paid.",
                max_digits=38,
            ),
        ),
        migrations.AddField(
            model_name="invoice",
            name="reason",
            field=models.CharField(blank=True, help_text="Of a credit note: why it was given.", max_length=300),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="exact",
            field=models.DecimalField(
                decimal_places=12, default=0, help_text="The amount before it was rounded.", max_digits=38
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="grade",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="kind",
            field=models.CharField(
                choices=[
                    ("usage", "Usage"),
                    ("fee", "Fee"),
                    ("included", "Included"),
                    ("discount", "Discount"),
                    ("coupon", "Coupon"),
                    ("minimum", "Minimum"),
                    ("commitment", "Commitment"),
                    ("maximum", "Maximum"),
                    ("grant", "Grant"),
                    ("credit", "Credit"),
                ],
                default="usage",
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="service_tier",
            field=models.TextField(default=metering.usage.ServiceTier["STANDARD"]),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="tax_category",
            field=models.CharField(
                choices=[
                    ("S", "standard"),
                    ("Z", "zero rate"),
                    ("E", "exempt"),
                    ("AE", "reverse charge"),
                    ("G", "export outside the EU"),
                    ("O", "out of scope"),
                ],
                default="S",
                max_length=2,
            ),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="tax_rate_percent",
            field=models.DecimalField(decimal_places=2, default=0, max_digits=5),
        ),
        migrations.AddField(
            model_name="invoiceusage",
            name="grade",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="invoiceusage",
            name="service_tier",
            field=models.TextField(default=metering.usage.ServiceTier["STANDARD"]),
        ),
        migrations.AlterField(
            model_name="invoice",
            name="ordinal",
            field=models.PositiveIntegerField(
                help_text="The tenant's first, second, ... invoice; closings take turns by it.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="invoice",
            name="period",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="invoices", to="billing.period"
            ),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="offering",
            field=models.TextField(blank=True),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="project",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="project_id",
            field=models.BigIntegerField(help_text="None where it is the tenant's as a whole.", null=True),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="unit",
            field=models.TextField(blank=True),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "invoice")), fields=("period",), name="invoice_once_in_period"
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("corrects", None), ("kind", "invoice"), ("ordinal__isnull", False)),
                    models.Q(
                        ("corrects__isnull", False),
                        ("kind", "credit_note"),
                        ("ordinal", None),
                        models.Q(("reason", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="invoice_or_credit_note",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceusage",
            constraint=models.UniqueConstraint(
                fields=(
                    "tenant_id",
                    "start",
                    "project_id",
                    "api_key_id",
                    "offering",
                    "deployment",
                    "grade",
                    "service_tier",
                    "unit",
                    "invoice",
                ),
                name="annex_once_in_invoice",
            ),
        ),
        migrations.AddField(
            model_name="invoicetax",
            name="invoice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="taxes", to="billing.invoice"
            ),
        ),
        migrations.AddConstraint(
            model_name="invoicetax",
            constraint=models.UniqueConstraint(
                fields=("invoice", "category", "rate_percent"), name="tax_once_in_invoice"
            ),
        ),
        migrations.RunSQL(EXACT_OF_THE_PAST, migrations.RunSQL.noop),
        migrations.RunSQL(KEPT, "DROP TRIGGER billing_tax_final ON billing_invoicetax"),
    ]
