"""An empty tax rate leaves the tax to the law's rules. The rates that operators had entered stay, as their word."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_keys_that_report_usage")]

    operations = [
        migrations.AlterField(
            model_name="tenant",
            name="tax_number",
            field=models.CharField(
                blank=True,
                help_text="The VAT id where there is one, such as DE136695976: it decides the tax.",
                max_length=40,
            ),
        ),
        migrations.AlterField(
            model_name="tenant",
            name="tax_rate_percent",
            field=models.DecimalField(
                blank=True,
                decimal_places=2,
                help_text="Leave it empty, and the law's rules decide. What is entered here goes before them.",
                max_digits=5,
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(0),
                    django.core.validators.MaxValueValidator(100),
                ],
            ),
        ),
        migrations.AlterField(
            model_name="tenant",
            name="tax_note",
            field=models.CharField(
                blank=True,
                help_text="Of a rate of 0 that is entered: why no tax is due, as it is printed.",
                max_length=300,
            ),
        ),
    ]
