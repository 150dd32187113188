"""Which usage an invoice covers: every billed bucket up to an instant, minus what earlier invoices covered of it.

The annex is written first, and lines are rated from what it holds: so they cannot differ. Because it is a difference
by bucket, each token is invoiced once however late it arrives: usage that trickles into an old bucket is due again
by exactly what is new.
"""

from collections.abc import Iterator
from datetime import datetime

from django.db import connection
from django.db.models import Sum

from billing.models import Invoice, InvoiceUsage
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


def covered_usage(invoice: Invoice) -> Iterator[Used]:
    """The annex as rating wants it: summed over keys and deployments, in order of time."""
    columns = ("start", "project_id", "offering", "unit", "grade", "service_tier")
    rows = InvoiceUsage.objects.filter(invoice=invoice).values_list(*columns).annotate(Sum("quantity"))
    for start, project, offering, unit, grade, tier, total in rows.order_by(*columns).iterator():
        yield Used(start, project, offering, unit, int(total), grade, tier)
