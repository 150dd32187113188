"""Rates by grade and service tier, graduated, by volume, by package and flat; none overlaps another of its version."""

import django.core.validators
from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

import money.fields

# A text is a range of one value, and "any" the range of all: so an exclusion constraint, which holds under every
# isolation and however many save at once, refuses two rates that some usage would both meet.
NO_OVERLAP = """
CREATE TYPE billing_text_range AS RANGE (subtype = text, collation = "C");
ALTER TABLE billing_rate ADD CONSTRAINT rate_overlaps_no_other EXCLUDE USING gist (
    int8range(version_id, version_id, '[]') WITH &&,
    billing_text_range(offering, offering, '[]') WITH &&,
    billing_text_range(unit, unit, '[]') WITH &&,
    (CASE grade WHEN 'any' THEN billing_text_range(NULL, NULL)
                ELSE billing_text_range(grade, grade, '[]') END) WITH &&,
    (CASE service_tier WHEN 'any' THEN billing_text_range(NULL, NULL)
                       ELSE billing_text_range(service_tier, service_tier, '[]') END) WITH &&
);
"""
OVERLAP = """
ALTER TABLE billing_rate DROP CONSTRAINT rate_overlaps_no_other;
DROP TYPE billing_text_range;
"""

TIERS = """
CREATE FUNCTION billing_ascends(steps bigint[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(bool_and(step IS NOT NULL AND step > before), true)
      FROM (SELECT step, lag(step, 1, 0::bigint) OVER (ORDER BY place) AS before
              FROM unnest(steps) WITH ORDINALITY AS given (step, place)) steps
$$;
CREATE FUNCTION billing_exact(amounts numeric[], per bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(bool_and(amount IS NOT NULL AND amount >= 0 AND mod(amount * 1000000000000, per) = 0), true)
      FROM unnest(amounts) AS given (amount)
$$;
ALTER TABLE billing_rate DROP CONSTRAINT rate_exact;
ALTER TABLE billing_rate
    ADD CONSTRAINT rate_exact CHECK (
        kind IN ('package', 'flat') OR mod(amount * 1000000000000, per) = 0 AND billing_exact(amounts_above, per)),
    ADD CONSTRAINT rate_tiers CHECK (
        cardinality(above) = cardinality(amounts_above) AND cardinality(above) <= 20 AND billing_ascends(above)
        AND (kind IN ('graduated', 'volume')) = (cardinality(above) > 0)),
    ADD CONSTRAINT rate_kind_known CHECK (kind IN ('per_unit', 'graduated', 'volume', 'package', 'flat'));
"""
NO_TIERS = """
ALTER TABLE billing_rate
    DROP CONSTRAINT rate_kind_known,
    DROP CONSTRAINT rate_tiers,
    DROP CONSTRAINT rate_exact,
    ADD CONSTRAINT rate_exact CHECK (mod(amount * 1000000000000, per) = 0);
DROP FUNCTION billing_exact;
DROP FUNCTION billing_ascends;
"""

# Until now another service tier than the standard one was priced as an offering of its own, named "offering (tier)".
# What these rates say stays the same, published or not.
NAME_TIERS = """
ALTER TABLE billing_rate DISABLE TRIGGER billing_rate_published;
UPDATE billing_rate
   SET offering = regexp_replace(offering, ' \\((batch|flex|priority)\\)$', ''),
       service_tier = substring(offering FROM ' \\((batch|flex|priority)\\)$')
 WHERE offering ~ '. \\((batch|flex|priority)\\)$';
ALTER TABLE billing_rate ENABLE TRIGGER billing_rate_published;
"""
UNNAME_TIERS = """
ALTER TABLE billing_rate DISABLE TRIGGER billing_rate_published;
UPDATE billing_rate SET offering = offering || ' (' || service_tier || ')', service_tier = 'standard'
 WHERE service_tier IN ('batch', 'flex', 'priority');
ALTER TABLE billing_rate ENABLE TRIGGER billing_rate_published;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0010_closing_runs")]

    operations = [
        migrations.RemoveConstraint("rate", "rate_once_in_version"),
        migrations.RemoveConstraint("rate", "rate_per_known"),
        migrations.AlterModelOptions(
            "rate", options={"ordering": ["version", "offering", "unit", "grade", "service_tier"]}
        ),
        migrations.AddField(
            "rate",
            "grade",
            models.CharField(
                blank=True,
                default="any",
                help_text="A grade's name, or any. Empty: of answers without a grade.",
                max_length=200,
            ),
        ),
        migrations.AddField(
            "rate",
            "service_tier",
            models.CharField(
                choices=[
                    ("standard", "standard"),
                    ("batch", "batch"),
                    ("flex", "flex"),
                    ("priority", "priority"),
                    ("any", "any"),
                ],
                default="standard",
                max_length=16,
            ),
        ),
        migrations.AddField(
            "rate",
            "kind",
            models.CharField(
                choices=[
                    ("per_unit", "per unit"),
                    ("graduated", "graduated"),
                    ("volume", "volume"),
                    ("package", "package"),
                    ("flat", "flat"),
                ],
                default="per_unit",
                max_length=16,
            ),
        ),
        migrations.AddField(
            "rate",
            "above",
            ArrayField(base_field=models.BigIntegerField(), blank=True, default=list, size=20),
        ),
        migrations.AddField(
            "rate",
            "amounts_above",
            ArrayField(
                base_field=money.fields.MoneyAmountField(validators=[django.core.validators.MinValueValidator(0)]),
                blank=True,
                default=list,
                size=20,
            ),
        ),
        migrations.AlterField(
            "rate",
            "per",
            models.BigIntegerField(default=1000000, validators=[django.core.validators.MinValueValidator(1)]),
        ),
        migrations.AddConstraint(
            "rate",
            models.CheckConstraint(
                condition=models.Q(kind="package", per__gte=1)
                | models.Q(kind="flat", per=1)
                | models.Q(kind__in=["per_unit", "graduated", "volume"], per__in=[1, 1_000, 1_000_000]),
                name="rate_per_known",
            ),
        ),
        migrations.AddConstraint(
            "rate",
            models.CheckConstraint(
                condition=models.Q(service_tier__in=["any", "standard", "batch", "flex", "priority"]),
                name="rate_service_tier_known",
            ),
        ),
        migrations.RunSQL(NAME_TIERS, UNNAME_TIERS),
        migrations.RunSQL(TIERS, NO_TIERS),
        migrations.RunSQL(NO_OVERLAP, OVERLAP),
    ]
