"""Closing runs with their items, and credit notes that say which lines they take back, and never too much."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# A note takes back what an invoice asked for, and no more: of each line, and of the whole. The lock lets two notes over one
# invoice be judged one after the other.
WITHIN = """
CREATE FUNCTION billing_check_credit_note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    corrected RECORD;
    given numeric;
BEGIN
    SELECT * INTO corrected FROM billing_invoice WHERE id = NEW.corrects_id FOR UPDATE;
    IF corrected.kind <> 'invoice' OR corrected.status <> 'final' OR corrected.tenant_id <> NEW.tenant_id
       OR corrected.currency <> NEW.currency THEN
        RAISE EXCEPTION 'a credit note is over a final invoice of its tenant in its currency' USING ERRCODE = 'check_violation';
    END IF;
    SELECT coalesce(sum(gross), 0) INTO given FROM billing_invoice WHERE corrects_id = corrected.id AND status = 'final';
    IF NEW.gross <= 0 OR given + NEW.gross > corrected.gross THEN
        RAISE EXCEPTION 'credit notes over invoice % come to more than it', corrected.number USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (
        SELECT FROM billing_invoiceline own
          JOIN billing_invoiceline line ON line.id = own.corrects_id
          JOIN billing_invoiceline credit ON credit.corrects_id = line.id
         WHERE own.invoice_id = NEW.id
         GROUP BY line.id
        HAVING line.invoice_id <> corrected.id OR abs(sum(credit.amount)) > abs(line.amount)
            OR sum(credit.amount) * line.amount < 0
    ) OR EXISTS (SELECT FROM billing_invoiceline WHERE invoice_id = NEW.id AND kind <> 'credit') THEN
        RAISE EXCEPTION 'a credit note takes back lines of invoice %, and no more of each than there is', corrected.number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER billing_credit_note_within BEFORE UPDATE ON billing_invoice FOR EACH ROW
    WHEN (OLD.status <> 'final' AND NEW.status = 'final' AND NEW.kind = 'credit_note')
    EXECUTE FUNCTION billing_check_credit_note();
"""
NOT_WITHIN = """
DROP TRIGGER billing_credit_note_within ON billing_invoice;
DROP FUNCTION billing_check_credit_note;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0009_tax_by_rule"),
        ("tenants", "0003_keys_that_report_usage"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ClosingItem",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("drafted", "Drafted"),
                            ("final", "Final"),
                            ("done", "Done"),
                            ("nothing", "nothing to invoice"),
                            ("parked", "Parked"),
                        ],
                        default="pending",
                        max_length=8,
                    ),
                ),
                ("due_at", models.DateTimeField(help_text="When it is worked at next.")),
                (
                    "attempts",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="How often it was claimed since its last change."
                    ),
                ),
                ("claim", models.UUIDField(help_text="Of the worker that has it.", null=True)),
                ("claimed_until", models.DateTimeField(help_text="When another worker may take it.", null=True)),
                (
                    "parked_for",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("jump", "far above the last"),
                            ("negative", "Negative"),
                            ("empty", "Empty"),
                            ("refused", "Refused"),
                            ("failed", "Failed"),
                        ],
                        max_length=8,
                    ),
                ),
                ("reason", models.TextField(blank=True, help_text="Why it is parked or waits.")),
                (
                    "approved_gross",
                    models.DecimalField(
                        decimal_places=12,
                        help_text="The approval is for this gross amount and no other.",
                        max_digits=38,
                        null=True,
                    ),
                ),
                ("approved_at", models.DateTimeField(null=True)),
                ("changed_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["run", "tenant"],
            },
        ),
        migrations.CreateModel(
            name="ClosingRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("month", models.DateField(help_text="The month's first day.", unique=True)),
                (
                    "grace_hours",
                    models.PositiveSmallIntegerField(
                        help_text="How long after a tenant's month its draft takes in usage that comes late."
                    ),
                ),
                ("started_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["-month"],
            },
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="corrects",
            field=models.ForeignKey(
                help_text="Of a credit note: which line.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credits",
                to="billing.invoiceline",
            ),
        ),
        migrations.AlterField(
            model_name="invoicecounter",
            name="series",
            field=models.CharField(max_length=12),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.UniqueConstraint(fields=("invoice", "corrects"), name="line_credited_once_in_a_note"),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("corrects__isnull", False), ("kind", "credit")),
                    models.Q(models.Q(("kind", "credit"), _negated=True), ("corrects", None)),
                    _connector="OR",
                ),
                name="line_credits_a_line",
            ),
        ),
        migrations.AddField(
            model_name="closingitem",
            name="approved_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="closingitem",
            name="invoice",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="billing.invoice"
            ),
        ),
        migrations.AddField(
            model_name="closingitem",
            name="tenant",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"),
        ),
        migrations.AddField(
            model_name="closingrun",
            name="started_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="closingitem",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="items", to="billing.closingrun"
            ),
        ),
        migrations.AddIndex(
            model_name="closingitem",
            index=models.Index(
                condition=models.Q(("state__in", ["pending", "drafted", "final"])),
                fields=["due_at", "id"],
                name="closing_item_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="closingitem",
            constraint=models.UniqueConstraint(fields=("run", "tenant"), name="closing_item_once"),
        ),
        migrations.AddConstraint(
            model_name="closingitem",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("state", "parked"),
                        models.Q(("parked_for", ""), _negated=True),
                        models.Q(("reason", ""), _negated=True),
                    ),
                    models.Q(models.Q(("state", "parked"), _negated=True), ("parked_for", "")),
                    _connector="OR",
                ),
                name="closing_item_parked_for_a_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="closingitem",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("claim", None), ("claimed_until", None)),
                    models.Q(("claim__isnull", False), ("claimed_until__isnull", False)),
                    _connector="OR",
                ),
                name="closing_item_claimed_whole",
            ),
        ),
        migrations.AddConstraint(
            model_name="closingitem",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("approved_at", None), ("approved_by", None), ("approved_gross", None)),
                    models.Q(
                        ("approved_at__isnull", False),
                        ("approved_by__isnull", False),
                        ("approved_gross__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="closing_item_approved_whole",
            ),
        ),
        migrations.AddConstraint(
            model_name="closingitem",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("invoice__isnull", False),
                    models.Q(("state__in", ["final", "done"]), _negated=True),
                    _connector="OR",
                ),
                name="closing_item_has_its_invoice",
            ),
        ),
        migrations.RunSQL(WITHIN, NOT_WITHIN),
    ]
