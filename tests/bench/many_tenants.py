"""Enters many tenants with a month of usage each, ready to be closed: by SQL, for it is not what is measured."""

from datetime import UTC, datetime
from typing import Any

from django.db import connection

MONTH = datetime(2026, 3, 1, tzinfo=UTC)
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
OFFERINGS = [f"model-{letter}" for letter in "abcde"]
UNITS = ["input_uncached", "input_cached", "output", "reasoning"]  # Of five offerings: 20 lines.

_TENANTS = """
INSERT INTO tenants_tenant (slug, name, status, currency, time_zone, legal_name, address_lines, country, tax_number,
    tax_rate_percent, tax_note, invoice_email, language, prepaid, when_counters_away, created_at)
SELECT 'tenant-' || n, 'Tenant ' || n, 'active', 'EUR', 'Europe/Berlin', 'Tenant ' || n || ' GmbH',
       'Musterstr. ' || n || E'\\n10115 Berlin', 'DE', 'DE136695976', 19, '', 'tenant@example.org', 'en', false,
       'refuse', %(begin)s
FROM generate_series(%(first)s::int, %(last)s::int) AS n
"""
_PROJECTS = """
INSERT INTO tenants_project (tenant_id, slug, name)
SELECT id, 'default', 'Default' FROM tenants_tenant AS t
WHERE NOT EXISTS (SELECT FROM tenants_project WHERE tenant_id = t.id)
"""
_PLANS = """
INSERT INTO billing_plan (tenant_id, price_book_id, starts_at)
SELECT id, %(book)s, %(begin)s FROM tenants_tenant AS t
WHERE NOT EXISTS (SELECT FROM billing_plan WHERE tenant_id = t.id)
"""
# The quarters of an hour lie apart, so that a tenant's usage is spread over the month.
_BUCKETS = """
INSERT INTO metering_bucket (tenant_id, start, project_id, api_key_id, offering, deployment, grade, service_tier,
    billed, unit, quantity, updated_at)
SELECT p.tenant_id, %(month)s::timestamptz + quarter * (%(span)s::int / %(quarters)s::int) * interval '15 minutes',
       p.id, 1, offering, offering || '-at-pool-a', '', 'standard', true, unit, 1000 + p.id %% 977 + quarter, now()
FROM tenants_project AS p, generate_series(0, %(quarters)s::int - 1) AS quarter,
     unnest(%(offerings)s::text[]) AS offering, unnest(%(units)s::text[]) AS unit
WHERE NOT EXISTS (SELECT FROM metering_bucket AS b WHERE b.tenant_id = p.tenant_id)
"""
QUARTERS_OF_A_MONTH = 2_900


def price() -> int:
    """A price book with all rates, and a seller; return the book's id."""
    from billing import publishing
    from billing.models import PriceBook, PriceBookVersion, Rate, Seller

    Seller.objects.create(
        legal_name="Tokenfabrik GmbH",
        address_lines="Beispielweg 1\n20354 Hamburg",
        country="DE",
        tax_number="DE136695976",
        bank_details="IBAN: DE89 3704 0044 0532 0130 00",
        email="invoices@example.org",
    )
    book = PriceBook.objects.create(slug="bench", name="Benchmark", currency="EUR")
    version = PriceBookVersion.objects.create(price_book=book, valid_from=JANUARY)
    for offering in OFFERINGS:
        for place, unit in enumerate(UNITS, start=1):
            Rate.objects.create(version=version, offering=offering, unit=unit, amount=place, per=1_000_000)
    publishing.publish(version)
    return book.pk


def enter(book_id: int, first: int, last: int, quarters: int) -> None:
    """Tenants `first` to `last`, each with 20 buckets in each of so many quarters of an hour of MONTH."""
    given: dict[str, Any] = {
        "first": first,
        "last": last,
        "begin": JANUARY,
        "month": MONTH,
        "book": book_id,
        "quarters": quarters,
        "span": QUARTERS_OF_A_MONTH,
        "offerings": OFFERINGS,
        "units": UNITS,
    }
    with connection.cursor() as cursor:
        for statement in (_TENANTS, _PROJECTS, _PLANS, _BUCKETS):
            cursor.execute(statement, given)
        cursor.execute("ANALYZE")
