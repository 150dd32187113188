"""What is drawn from wallets, programmes that grant, orders of top-ups, and what ends an open amount without payment."""

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0011_rates_of_every_kind"),
        ("tenants", "0003_keys_that_report_usage"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Programme",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "slug",
                    models.SlugField(help_text="Names the programme in addresses. It cannot be changed.", unique=True),
                ),
                ("name", models.CharField(help_text="As invoices show it.", max_length=200)),
                (
                    "currency",
                    models.CharField(
                        max_length=3,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Z]{3}\\Z", "Give the three letters of ISO 4217, such as EUR."
                            )
                        ],
                    ),
                ),
                (
                    "pool",
                    models.DecimalField(
                        decimal_places=12,
                        help_text="What all grants together may come to. Never below what is granted already.",
                        max_digits=38,
                    ),
                ),
                (
                    "granted",
                    models.DecimalField(
                        decimal_places=12, default=0, editable=False, help_text="What they have come to.", max_digits=38
                    ),
                ),
                (
                    "amount",
                    models.DecimalField(
                        decimal_places=12, help_text="What a tenant is granted each time.", max_digits=38
                    ),
                ),
                (
                    "every",
                    models.CharField(choices=[("once", "Once"), ("month", "Month")], default="once", max_length=8),
                ),
                (
                    "valid_days",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="Of a grant that is given once: so many days of the tenant, its first among them; empty: for ever. A monthly one ends with its month.",
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "automatic",
                    models.BooleanField(
                        default=False,
                        help_text="Every eligible tenant gets it without asking; otherwise its members claim it.",
                    ),
                ),
                ("opens_at", models.DateTimeField()),
                (
                    "closes_at",
                    models.DateTimeField(blank=True, help_text="Nothing is granted from then on.", null=True),
                ),
                (
                    "offerings",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(),
                        blank=True,
                        default=list,
                        help_text="Grants pay for these only; empty: for everything.",
                        size=None,
                    ),
                ),
                (
                    "priority",
                    models.SmallIntegerField(default=0, help_text="Of its grants: a lower number is drawn first."),
                ),
                (
                    "countries",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            max_length=2,
                            validators=[
                                django.core.validators.RegexValidator(
                                    "^[A-Z]{2}\\Z", "Give the two letters of ISO 3166, such as DE."
                                )
                            ],
                        ),
                        blank=True,
                        default=list,
                        help_text="Tenants of these countries; empty: of all.",
                        size=None,
                    ),
                ),
            ],
            options={
                "ordering": ["slug"],
            },
        ),
        migrations.CreateModel(
            name="Settlement",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("write_off", "written off: it will not be paid"),
                            ("refund", "paid back: the tenant was owed it"),
                        ],
                        max_length=16,
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=12, max_digits=38)),
                ("currency", models.CharField(max_length=3)),
                ("occurred_on", models.DateField()),
                (
                    "reference",
                    models.CharField(
                        help_text="Why, or what the bank calls it. An invoice has each once.", max_length=140
                    ),
                ),
                ("recorded_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="TopUpOrder",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount", models.DecimalField(decimal_places=12, max_digits=38)),
                ("currency", models.CharField(max_length=3)),
                (
                    "status",
                    models.CharField(
                        choices=[("open", "Open"), ("paid", "Paid"), ("cancelled", "Cancelled")],
                        default="open",
                        max_length=16,
                    ),
                ),
                (
                    "affordable",
                    models.DecimalField(
                        decimal_places=12,
                        help_text="What the wallet still afforded when it was ordered.",
                        max_digits=38,
                    ),
                ),
                ("recipient", models.EmailField(max_length=254)),
                ("created_at", models.DateTimeField()),
                ("next_attempt_at", models.DateTimeField()),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("last_error", models.CharField(blank=True, max_length=500)),
                ("sent_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["-created_at"],
            },
        ),
        migrations.CreateModel(
            name="TopUpRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "threshold",
                    models.DecimalField(
                        decimal_places=12,
                        help_text="Of what the wallet still affords before tax, in the tenant's currency.",
                        max_digits=38,
                    ),
                ),
                (
                    "amount",
                    models.DecimalField(decimal_places=12, help_text="What is ordered each time.", max_digits=38),
                ),
                ("enabled", models.BooleanField(default=True)),
            ],
            options={
                "ordering": ["tenant"],
            },
        ),
        migrations.CreateModel(
            name="WalletDraw",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("use", "used on an invoice"),
                            ("expiry", "expired"),
                            ("refund", "refunded"),
                            ("netted", "netted with a credit below zero"),
                        ],
                        max_length=8,
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=12, max_digits=38)),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="entry",
            name="entry_kind",
        ),
        migrations.RemoveConstraint(
            model_name="posting",
            name="posting_account",
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="wallet_credit",
            field=models.ForeignKey(
                help_text="Of a grant: the credit that it is drawn from.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.walletcredit",
            ),
        ),
        migrations.AddField(
            model_name="walletcredit",
            name="expires_at",
            field=models.DateTimeField(
                blank=True,
                help_text="It pays what is used before. At a quarter of an hour; empty: it never expires.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="walletcredit",
            name="granted_for",
            field=models.DateField(
                editable=False, help_text="The first day of the month that a programme granted it for.", null=True
            ),
        ),
        migrations.AddField(
            model_name="walletcredit",
            name="kind",
            field=models.CharField(
                choices=[("bought", "Bought"), ("granted", "Granted")], default="bought", max_length=8
            ),
        ),
        migrations.AddField(
            model_name="walletcredit",
            name="offerings",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.TextField(),
                blank=True,
                default=list,
                help_text="It pays for these only; empty: for everything.",
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="walletcredit",
            name="priority",
            field=models.SmallIntegerField(
                default=0, help_text="A lower number is drawn first, then what expires first."
            ),
        ),
        migrations.AlterField(
            model_name="entry",
            name="kind",
            field=models.CharField(
                choices=[
                    ("invoice", "Invoice"),
                    ("payment", "Payment"),
                    ("payment_reversal", "Payment Reversal"),
                    ("wallet_credit", "Wallet Credit"),
                    ("wallet_use", "Wallet Use"),
                    ("wallet_expiry", "Wallet Expiry"),
                    ("wallet_refund", "Wallet Refund"),
                    ("credit_note", "Credit Note"),
                    ("write_off", "Write Off"),
                    ("refund", "Refund"),
                ],
                max_length=24,
            ),
        ),
        migrations.AlterField(
            model_name="posting",
            name="account",
            field=models.CharField(
                choices=[
                    ("receivable", "receivable"),
                    ("revenue", "revenue"),
                    ("rounding", "rounding"),
                    ("tax", "tax"),
                    ("wallet_liability", "wallet_liability"),
                    ("breakage", "breakage"),
                    ("write_off", "write_off"),
                    ("cash", "cash"),
                ],
                max_length=24,
            ),
        ),
        migrations.AlterField(
            model_name="walletcredit",
            name="amount",
            field=models.DecimalField(decimal_places=12, help_text="In the tenant's currency.", max_digits=38),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "kind__in",
                        [
                            "invoice",
                            "payment",
                            "payment_reversal",
                            "wallet_credit",
                            "wallet_use",
                            "wallet_expiry",
                            "wallet_refund",
                            "credit_note",
                            "write_off",
                            "refund",
                        ],
                    )
                ),
                name="entry_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="posting",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "account__in",
                        [
                            "receivable",
                            "revenue",
                            "rounding",
                            "tax",
                            "wallet_liability",
                            "breakage",
                            "write_off",
                            "cash",
                        ],
                    )
                ),
                name="posting_account",
            ),
        ),
        migrations.AddField(
            model_name="programme",
            name="tenants",
            field=models.ManyToManyField(
                blank=True,
                help_text="These tenants only, where any are named.",
                related_name="programmes",
                to="tenants.tenant",
            ),
        ),
        migrations.AddField(
            model_name="walletcredit",
            name="programme",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credits",
                to="billing.programme",
            ),
        ),
        migrations.AddConstraint(
            model_name="walletcredit",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "bought"), ("programme", None)),
                    models.Q(("amount__gt", 0), ("kind", "granted")),
                    _connector="OR",
                ),
                name="wallet_credit_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="walletcredit",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("granted_for", None), ("programme", None)),
                    models.Q(("granted_for__isnull", False), ("programme__isnull", False)),
                    _connector="OR",
                ),
                name="wallet_credit_of_programme",
            ),
        ),
        migrations.AddConstraint(
            model_name="walletcredit",
            constraint=models.UniqueConstraint(fields=("programme", "tenant", "granted_for"), name="grant_once"),
        ),
        migrations.AddField(
            model_name="settlement",
            name="invoice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="settlements", to="billing.invoice"
            ),
        ),
        migrations.AddField(
            model_name="settlement",
            name="recorded_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="topuporder",
            name="credit",
            field=models.OneToOneField(
                help_text="What was paid for it.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="order",
                to="billing.walletcredit",
            ),
        ),
        migrations.AddField(
            model_name="topuporder",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="top_up_orders", to="tenants.tenant"
            ),
        ),
        migrations.AddField(
            model_name="topuprule",
            name="tenant",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE, related_name="top_up_rule", to="tenants.tenant"
            ),
        ),
        migrations.AddField(
            model_name="walletdraw",
            name="credit",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="draws", to="billing.walletcredit"
            ),
        ),
        migrations.AddField(
            model_name="walletdraw",
            name="invoice",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="wallet_draws",
                to="billing.invoice",
            ),
        ),
        migrations.AddField(
            model_name="walletdraw",
            name="recorded_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="walletdraw",
            name="tenant",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"),
        ),
        migrations.AddConstraint(
            model_name="programme",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="programme_amount"),
        ),
        migrations.AddConstraint(
            model_name="programme",
            constraint=models.CheckConstraint(
                condition=models.Q(("granted__gte", 0), ("granted__lte", models.F("pool"))),
                name="programme_pool_not_overdrawn",
            ),
        ),
        migrations.AddConstraint(
            model_name="programme",
            constraint=models.CheckConstraint(
                condition=models.Q(("every", "once"), ("valid_days", None), _connector="OR"), name="programme_validity"
            ),
        ),
        migrations.AddConstraint(
            model_name="settlement",
            constraint=models.UniqueConstraint(fields=("invoice", "kind", "reference"), name="settlement_once"),
        ),
        migrations.AddConstraint(
            model_name="settlement",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="settlement_positive"),
        ),
        migrations.AddIndex(
            model_name="topuporder",
            index=models.Index(
                condition=models.Q(("sent_at", None)), fields=["next_attempt_at"], name="top_up_order_pending"
            ),
        ),
        migrations.AddConstraint(
            model_name="topuporder",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status", "open")), fields=("tenant",), name="top_up_order_one_open"
            ),
        ),
        migrations.AddConstraint(
            model_name="topuporder",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="top_up_order_above_zero"),
        ),
        migrations.AddConstraint(
            model_name="topuporder",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("credit__isnull", False), ("status", "paid")),
                    models.Q(models.Q(("status", "paid"), _negated=True), ("credit", None)),
                    _connector="OR",
                ),
                name="top_up_order_paid_by_credit",
            ),
        ),
        migrations.AddConstraint(
            model_name="topuprule",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0), ("threshold__gte", 0)), name="top_up_above_zero"
            ),
        ),
        migrations.AddConstraint(
            model_name="walletdraw",
            constraint=models.CheckConstraint(condition=models.Q(("amount", 0), _negated=True), name="draw_not_zero"),
        ),
        migrations.AddConstraint(
            model_name="walletdraw",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("invoice__isnull", False), ("kind", "use")),
                    models.Q(("amount__gt", 0), ("invoice", None), ("kind__in", ["expiry", "refund"])),
                    models.Q(("invoice", None), ("kind", "netted")),
                    _connector="OR",
                ),
                name="draw_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="walletdraw",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind", "refund"), ("reason", ""), _negated=True), name="draw_refund_with_reason"
            ),
        ),
        migrations.AddConstraint(
            model_name="walletdraw",
            constraint=models.UniqueConstraint(fields=("invoice", "credit"), name="draw_once_in_invoice"),
        ),
    ]
