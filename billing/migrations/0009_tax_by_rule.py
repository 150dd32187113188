"""Tax by rule: rates by country and day, exemptions, and the taxes of an invoice in rows of their own.

What invoices of the past said of their tax moves into these rows, word for word.
"""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

# The trigger keeps the parts of final invoices as they are, and this adds what they have always said. The constraints
# are checked at once, for a table with checks outstanding cannot be altered.
TAXES_OF_THE_PAST = """
ALTER TABLE billing_invoicetax DISABLE TRIGGER billing_tax_final;
ALTER TABLE billing_invoiceline DISABLE TRIGGER billing_line_final;
INSERT INTO billing_invoicetax (invoice_id, category, rate_percent, net, tax, reason)
SELECT id, CASE WHEN tax_rate_percent > 0 THEN 'S' WHEN tax_note <> '' THEN 'E' ELSE 'Z' END, tax_rate_percent, net, tax,
       CASE WHEN tax_rate_percent > 0 THEN '' ELSE tax_note END
  FROM billing_invoice
 WHERE NOT EXISTS (SELECT FROM billing_invoicetax WHERE invoice_id = billing_invoice.id);
UPDATE billing_invoiceline AS line
   SET tax_category = CASE WHEN invoice.tax_note <> '' THEN 'E' ELSE 'Z' END
  FROM billing_invoice invoice
 WHERE invoice.id = line.invoice_id AND invoice.tax_rate_percent = 0;
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
ALTER TABLE billing_invoiceline ENABLE TRIGGER billing_line_final;
ALTER TABLE billing_invoicetax ENABLE TRIGGER billing_tax_final;
"""

# Each line of a final invoice is in exactly one of its taxes, and both add up to what is to be paid.
ADDS_UP = """
CREATE OR REPLACE FUNCTION billing_check_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.net IS DISTINCT FROM (SELECT sum(amount) FROM billing_invoiceline WHERE invoice_id = NEW.id) THEN
        RAISE EXCEPTION 'the lines of invoice % do not sum to its net amount', NEW.number USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.tax IS DISTINCT FROM (SELECT sum(tax) FROM billing_invoicetax WHERE invoice_id = NEW.id) THEN
        RAISE EXCEPTION 'the taxes of invoice % do not sum to its tax', NEW.number USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (
        SELECT FROM (SELECT tax_category, tax_rate_percent, sum(amount) AS net FROM billing_invoiceline
                      WHERE invoice_id = NEW.id GROUP BY 1, 2) line
          FULL JOIN (SELECT category, rate_percent, net FROM billing_invoicetax WHERE invoice_id = NEW.id) tax
            ON line.tax_category = tax.category AND line.tax_rate_percent = tax.rate_percent
         WHERE line.net IS DISTINCT FROM tax.net
    ) THEN
        RAISE EXCEPTION 'the lines of invoice % do not sum to the net amounts of its taxes', NEW.number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""
DOES_NOT = """
CREATE OR REPLACE FUNCTION billing_check_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.net IS DISTINCT FROM (SELECT sum(amount) FROM billing_invoiceline WHERE invoice_id = NEW.id) THEN
        RAISE EXCEPTION 'the lines of invoice % do not sum to its net amount', NEW.number USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0008_lines_of_every_kind"), ("tenants", "0004_tax_by_rule")]

    operations = [
        migrations.CreateModel(
            name="TaxExemption",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("valid_from", models.DateField()),
                (
                    "valid_until",
                    models.DateField(blank=True, help_text="The last day; empty: until further notice.", null=True),
                ),
                (
                    "reason",
                    models.CharField(help_text="As it is printed, with the paragraph of the law.", max_length=300),
                ),
                (
                    "certificate",
                    models.CharField(blank=True, help_text="Number of the paper that proves it.", max_length=100),
                ),
            ],
            options={
                "ordering": ["tenant", "-valid_from"],
            },
        ),
        migrations.CreateModel(
            name="TaxRate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "country",
                    models.CharField(
                        max_length=2,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Z]{2}\\Z", "Give the two letters of ISO 3166, such as DE."
                            )
                        ],
                    ),
                ),
                ("valid_from", models.DateField()),
                (
                    "percent",
                    models.DecimalField(
                        decimal_places=2,
                        max_digits=5,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(100),
                        ],
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        help_text="Where the rate is written: the law, its paragraph, a link.", max_length=300
                    ),
                ),
            ],
            options={
                "ordering": ["country", "-valid_from"],
            },
        ),
        migrations.RunSQL(TAXES_OF_THE_PAST, migrations.RunSQL.noop),
        migrations.RemoveField(
            model_name="invoice",
            name="tax_note",
        ),
        migrations.RemoveField(
            model_name="invoice",
            name="tax_rate_percent",
        ),
        migrations.AddField(
            model_name="seller",
            name="in_one_stop_shop",
            field=models.BooleanField(
                default=True,
                help_text="Buyers without a VAT id in other EU countries pay their own country's rate. Without a tick they pay the seller's, which the law allows below EUR 10,000 a year (Art. 59c of Directive 2006/112/EC).",
                verbose_name="in the One Stop Shop",
            ),
        ),
        migrations.AlterField(
            model_name="invoice",
            name="tax",
            field=models.DecimalField(decimal_places=12, help_text="The sum of its taxes.", max_digits=38),
        ),
        migrations.AlterField(
            model_name="invoicetax",
            name="reason",
            field=models.TextField(blank=True, help_text="Why no tax is due, where none is."),
        ),
        migrations.AlterField(
            model_name="seller",
            name="tax_number",
            field=models.CharField(help_text="The VAT id where there is one, such as DE811907980.", max_length=40),
        ),
        migrations.AddConstraint(
            model_name="invoicetax",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("category", "S"), ("rate_percent__gt", 0)),
                    models.Q(("rate_percent", 0), ("tax", 0), models.Q(("category", "S"), _negated=True)),
                    _connector="OR",
                ),
                name="tax_at_standard_rate_only",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoicetax",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("category__in", ["S", "Z"]), models.Q(("reason", ""), _negated=True), _connector="OR"
                ),
                name="tax_none_with_reason",
            ),
        ),
        migrations.AddField(
            model_name="taxexemption",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="tax_exemptions", to="tenants.tenant"
            ),
        ),
        migrations.AddConstraint(
            model_name="taxrate",
            constraint=models.UniqueConstraint(fields=("country", "valid_from"), name="tax_rate_once_a_day"),
        ),
        migrations.AddConstraint(
            model_name="taxrate",
            constraint=models.CheckConstraint(
                condition=models.Q(("percent__gte", 0), ("percent__lte", 100)), name="tax_rate_percent"
            ),
        ),
        migrations.AddConstraint(
            model_name="taxexemption",
            constraint=models.UniqueConstraint(fields=("tenant", "valid_from"), name="tax_exemption_once_a_day"),
        ),
        migrations.AddConstraint(
            model_name="taxexemption",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("valid_until", None), ("valid_until__gte", models.F("valid_from")), _connector="OR"
                ),
                name="tax_exemption_not_empty",
            ),
        ),
        migrations.AddConstraint(
            model_name="taxexemption",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True), name="tax_exemption_has_reason"
            ),
        ),
        migrations.RunSQL(ADDS_UP, DOES_NOT),
    ]
