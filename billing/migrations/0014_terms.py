"""Terms of plans, coupons, and what a line needs that is not quantity times price.

Postgres keeps what was agreed to: terms that a plan names, coupons that somebody has, and who has which.
"""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import billing.models.prices

# A plan that is on its way in holds a share lock on its terms, so that a change of them waits for it and then sees it.
TERMS = """
CREATE FUNCTION billing_refuse_agreed_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM billing_plan WHERE terms_id = OLD.id) THEN
        RAISE EXCEPTION 'terms that a plan names never change' USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER billing_terms_agreed BEFORE UPDATE OR DELETE ON billing_planterms
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_agreed_terms();

CREATE FUNCTION billing_refuse_agreed_included() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM billing_planterms
      WHERE id IN (CASE WHEN TG_OP <> 'DELETE' THEN NEW.terms_id END, CASE WHEN TG_OP <> 'INSERT' THEN OLD.terms_id END)
        FOR NO KEY UPDATE;
    IF EXISTS (SELECT FROM billing_plan
      WHERE terms_id IN (CASE WHEN TG_OP <> 'DELETE' THEN NEW.terms_id END,
                         CASE WHEN TG_OP <> 'INSERT' THEN OLD.terms_id END)) THEN
        RAISE EXCEPTION 'terms that a plan names never change' USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER billing_included_agreed BEFORE INSERT OR UPDATE OR DELETE ON billing_includedusage
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_agreed_included();

CREATE FUNCTION billing_hold_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM billing_planterms WHERE id = NEW.terms_id FOR SHARE;
    RETURN NEW;
END $$;
CREATE TRIGGER billing_plan_holds_terms BEFORE INSERT OR UPDATE ON billing_plan
    FOR EACH ROW EXECUTE FUNCTION billing_hold_terms();
"""
NO_TERMS = """
DROP TRIGGER billing_plan_holds_terms ON billing_plan;
DROP TRIGGER billing_included_agreed ON billing_includedusage;
DROP TRIGGER billing_terms_agreed ON billing_planterms;
DROP FUNCTION billing_hold_terms;
DROP FUNCTION billing_refuse_agreed_included;
DROP FUNCTION billing_refuse_agreed_terms;
"""

COUPONS = """
CREATE FUNCTION billing_refuse_held_coupon() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM billing_redemption WHERE coupon_id = OLD.id) THEN
        RAISE EXCEPTION 'a coupon that somebody has never changes' USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER billing_coupon_held BEFORE UPDATE OR DELETE ON billing_coupon
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_held_coupon();

CREATE FUNCTION billing_hold_coupon() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM billing_coupon WHERE id = NEW.coupon_id FOR SHARE;
    RETURN NEW;
END $$;
CREATE TRIGGER billing_redemption_holds_coupon BEFORE INSERT ON billing_redemption
    FOR EACH ROW EXECUTE FUNCTION billing_hold_coupon();

CREATE FUNCTION billing_refuse_used_redemption() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM billing_invoice invoice JOIN billing_period period ON period.id = invoice.period_id
         WHERE invoice.tenant_id = OLD.tenant_id AND invoice.status = 'final' AND period.month >= OLD.first_month
    ) THEN
        RAISE EXCEPTION 'a coupon that an invoice has used is not taken back' USING ERRCODE = 'check_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER billing_redemption_used BEFORE DELETE ON billing_redemption
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_used_redemption();
CREATE TRIGGER billing_redemption_stays BEFORE UPDATE ON billing_redemption
    FOR EACH ROW EXECUTE FUNCTION billing_refuse('a redeemed coupon never changes');
"""
NO_COUPONS = """
DROP TRIGGER billing_redemption_stays ON billing_redemption;
DROP TRIGGER billing_redemption_used ON billing_redemption;
DROP TRIGGER billing_redemption_holds_coupon ON billing_redemption;
DROP TRIGGER billing_coupon_held ON billing_coupon;
DROP FUNCTION billing_refuse_used_redemption;
DROP FUNCTION billing_hold_coupon;
DROP FUNCTION billing_refuse_held_coupon;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0013_wallets_frozen"),
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Coupon",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(max_length=40, unique=True)),
                ("name", models.CharField(help_text="As it is called on invoices.", max_length=100, unique=True)),
                (
                    "percent",
                    models.DecimalField(
                        decimal_places=2,
                        default=0,
                        max_digits=5,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(100),
                        ],
                    ),
                ),
                (
                    "amount",
                    models.DecimalField(
                        decimal_places=12,
                        default=0,
                        help_text="Off each month.",
                        max_digits=38,
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                (
                    "currency",
                    models.CharField(
                        blank=True,
                        help_text="Of the amount.",
                        max_length=3,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Z]{3}\\Z", "Give the three letters of ISO 4217, such as EUR."
                            ),
                            billing.models.prices.known_currency,
                        ],
                    ),
                ),
                (
                    "months",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="How many months; empty: all of them.",
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
            ],
            options={
                "ordering": ["code"],
            },
        ),
        migrations.CreateModel(
            name="IncludedUsage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "offering",
                    models.CharField(blank=True, help_text="Empty: of all offerings together.", max_length=200),
                ),
                (
                    "unit",
                    models.CharField(
                        choices=[
                            ("input_uncached", "input_uncached"),
                            ("input_cached", "input_cached"),
                            ("cache_write_5m", "cache_write_5m"),
                            ("cache_write_1h", "cache_write_1h"),
                            ("output", "output"),
                            ("reasoning", "reasoning"),
                            ("audio_input", "audio_input"),
                            ("audio_output", "audio_output"),
                            ("image", "image"),
                            ("second", "second"),
                            ("character", "character"),
                            ("request", "request"),
                        ],
                        max_length=32,
                    ),
                ),
                ("quantity", models.BigIntegerField(validators=[django.core.validators.MinValueValidator(1)])),
            ],
            options={
                "verbose_name_plural": "included usage",
                "ordering": ["terms", "offering", "unit"],
            },
        ),
        migrations.CreateModel(
            name="PlanTerms",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="As the fee is called on invoices.", max_length=100, unique=True)),
                (
                    "currency",
                    models.CharField(
                        max_length=3,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Z]{3}\\Z", "Give the three letters of ISO 4217, such as EUR."
                            ),
                            billing.models.prices.known_currency,
                        ],
                    ),
                ),
                (
                    "fee",
                    models.DecimalField(
                        decimal_places=12,
                        default=0,
                        help_text="Asked for at the start of its months.",
                        max_digits=38,
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                (
                    "fee_months",
                    models.PositiveSmallIntegerField(
                        choices=[(1, "month"), (3, "quarter"), (6, "half-year"), (12, "year")], default=1
                    ),
                ),
                (
                    "included_amount",
                    models.DecimalField(
                        decimal_places=12,
                        default=0,
                        help_text="So much usage a month costs nothing, whatever it is of.",
                        max_digits=38,
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                (
                    "discount_percent",
                    models.DecimalField(
                        decimal_places=2,
                        default=0,
                        max_digits=5,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(100),
                        ],
                    ),
                ),
                (
                    "minimum",
                    models.DecimalField(
                        decimal_places=12,
                        default=0,
                        help_text="What a month's usage costs at least.",
                        max_digits=38,
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                (
                    "maximum",
                    models.DecimalField(
                        blank=True,
                        decimal_places=12,
                        help_text="What it costs at most; empty: no bound.",
                        max_digits=38,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                (
                    "commitment",
                    models.DecimalField(
                        decimal_places=12,
                        default=0,
                        help_text="What is spent at least in the months of the commitment.",
                        max_digits=38,
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                (
                    "commitment_months",
                    models.PositiveSmallIntegerField(
                        default=12,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(36),
                        ],
                    ),
                ),
                (
                    "trial_days",
                    models.PositiveSmallIntegerField(
                        default=0,
                        help_text="So many days nothing costs anything.",
                        validators=[django.core.validators.MaxValueValidator(366)],
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "plan terms",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Redemption",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("first_month", models.DateField(help_text="The first day of the first month that it is used in.")),
            ],
            options={
                "ordering": ["tenant", "first_month", "id"],
            },
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="detail",
            field=models.CharField(blank=True, help_text="The name of the fee, the coupon, ...", max_length=200),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="is_priced",
            field=models.BooleanField(default=True, help_text="Quantity times price; otherwise the amount is given."),
        ),
        migrations.AddConstraint(
            model_name="coupon",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("amount", 0), ("currency", ""), ("percent__gt", 0), ("percent__lte", 100)),
                    models.Q(("amount__gt", 0), ("percent", 0), models.Q(("currency", ""), _negated=True)),
                    _connector="OR",
                ),
                name="coupon_percent_or_amount",
                violation_error_message="Give a percentage up to 100, or an amount with its currency.",
            ),
        ),
        migrations.AddConstraint(
            model_name="coupon",
            constraint=models.CheckConstraint(
                condition=models.Q(("months", None), ("months__gte", 1), _connector="OR"), name="coupon_months"
            ),
        ),
        migrations.AddConstraint(
            model_name="planterms",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("commitment__gte", 0), ("fee__gte", 0), ("included_amount__gte", 0), ("minimum__gte", 0)
                ),
                name="terms_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="planterms",
            constraint=models.CheckConstraint(
                condition=models.Q(("discount_percent__gte", 0), ("discount_percent__lte", 100)),
                name="terms_discount_percent",
            ),
        ),
        migrations.AddConstraint(
            model_name="planterms",
            constraint=models.CheckConstraint(
                condition=models.Q(("maximum", None), ("maximum__gte", models.F("minimum")), _connector="OR"),
                name="terms_maximum_above_minimum",
                violation_error_message="The maximum is below the minimum.",
            ),
        ),
        migrations.AddConstraint(
            model_name="planterms",
            constraint=models.CheckConstraint(
                condition=models.Q(("fee_months__in", [1, 3, 6, 12])), name="terms_fee_months_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="planterms",
            constraint=models.CheckConstraint(
                condition=models.Q(("commitment_months__gte", 1), ("commitment_months__lte", 36)),
                name="terms_commitment_months",
            ),
        ),
        migrations.AddConstraint(
            model_name="planterms",
            constraint=models.CheckConstraint(condition=models.Q(("trial_days__lte", 366)), name="terms_trial_days"),
        ),
        migrations.AddField(
            model_name="includedusage",
            name="terms",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="included", to="billing.planterms"
            ),
        ),
        migrations.AddField(
            model_name="plan",
            name="terms",
            field=models.ForeignKey(
                blank=True,
                help_text="Fee, allowance, commitment and the like; empty: nothing but prices.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="plans",
                to="billing.planterms",
            ),
        ),
        migrations.AddField(
            model_name="redemption",
            name="coupon",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="redemptions", to="billing.coupon"
            ),
        ),
        migrations.AddField(
            model_name="redemption",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="redemptions", to="tenants.tenant"
            ),
        ),
        migrations.AddConstraint(
            model_name="includedusage",
            constraint=models.UniqueConstraint(fields=("terms", "offering", "unit"), name="included_once_in_terms"),
        ),
        migrations.AddConstraint(
            model_name="includedusage",
            constraint=models.CheckConstraint(condition=models.Q(("quantity__gte", 1)), name="included_above_zero"),
        ),
        migrations.AddConstraint(
            model_name="redemption",
            constraint=models.UniqueConstraint(fields=("tenant", "coupon"), name="coupon_once_for_a_tenant"),
        ),
        migrations.RunSQL(TERMS, NO_TERMS),
        migrations.RunSQL(COUPONS, NO_COUPONS),
    ]
