"""Which usage an invoice covers: every billed bucket up to an instant, minus what earlier invoices covered of it.

The annex is written first, and lines are rated from what it holds: so they cannot differ. Because it is a difference
by bucket, each token is invoiced once however late it arrives: usage that trickles into an old bucket is due again
by exactly what is new.
"""

from collections.abc import Iterator
from datetime import datetime

from django.db import connection
from django.db.models import Max, Sum

from billing.models import Invoice, InvoiceUsage
from billing.periods import Month, month, month_at
from billing.rating import Used

# The join reads the tenant's whole history. Both sides are ordered by the tenant's index, so this is a merge of two
# range scans, and a tenant has 35,040 quarters of an hour a year.
COVER_SQL = """
INSERT INTO billing_invoiceusage
       (invoice_id, tenant_id, start, project_id, api_key_id, offering, deployment, grade, service_tier, unit, quantity)
SELECT %(invoice)s, bucket.tenant_id, start, project_id, api_key_id, offering, deployment, grade, service_tier, unit,
       bucket.quantity - coalesce(covered.quantity, 0)
  FROM metering_bucket bucket
  LEFT JOIN (SELECT start, project_id, api_key_id, offering, deployment, grade, service_tier, unit,
                    sum(quantity)::bigint AS quantity
               FROM billing_invoiceusage
              WHERE tenant_id = %(tenant)s AND start < %(until)s
              GROUP BY start, project_id, api_key_id, offering, deployment, grade, service_tier, unit) covered
       USING (start, project_id, api_key_id, offering, deployment, grade, service_tier, unit)
 WHERE bucket.tenant_id = %(tenant)s AND bucket.billed AND bucket.start < %(until)s
   AND bucket.quantity <> coalesce(covered.quantity, 0)
"""


def cover_due_usage(invoice: Invoice, until: datetime) -> int:
    """Write the annex of a draft from the buckets that began before `until`; return its number of rows."""
    with connection.cursor() as cursor:
        cursor.execute(COVER_SQL, {"invoice": invoice.pk, "tenant": invoice.tenant_id, "until": until})
        return int(cursor.rowcount)


def months_due(invoice: Invoice, own: Month) -> list[Month]:
    """The months that a draft's annex has usage of, its own, and one that was closed early and is over now.

    They come from the earliest on. Of a month closed early a plan may have changed since, without any usage.
    """
    found = {own, *_closed_early(invoice, own.time_zone)}
    earlier = InvoiceUsage.objects.filter(invoice=invoice, start__lt=own.start)
    for start in earlier.order_by("start").values_list("start", flat=True).distinct():
        if not any(one.start <= start < one.end for one in found):
            found.add(month_at(start, own.time_zone))
    return sorted(found, key=lambda one: one.first_day)


def usage_of(invoice: Invoice, of: Month) -> Iterator[Used]:
    """A month's usage that this invoice and earlier ones cover, summed over keys and deployments.

    It comes in the order of invoicing, and by time within an invoice: what was invoiced before keeps its place.
    """
    columns = ("invoice__ordinal", "start", "project_id", "offering", "unit", "grade", "service_tier")
    covered = InvoiceUsage.objects.filter(
        tenant_id=invoice.tenant_id,
        start__gte=of.start,
        start__lt=of.end,
        invoice__ordinal__lte=invoice.ordinal,
    )
    rows = covered.values_list(*columns).annotate(Sum("quantity")).order_by(*columns)
    for _, start, project, offering, unit, grade, tier, total in rows.iterator():
        yield Used(start, project, offering, unit, int(total), grade, tier)


def _closed_early(invoice: Invoice, time_zone: str) -> Iterator[Month]:
    earlier = Invoice.objects.filter(
        tenant=invoice.tenant_id, kind=Invoice.Kind.INVOICE, ordinal__lt=invoice.ordinal or 0
    )
    until = earlier.aggregate(latest=Max("usage_until"))["latest"]
    if until is not None:
        for first_day in earlier.filter(period__end__gt=until).values_list("period__month", flat=True):
            yield month(first_day, time_zone)
