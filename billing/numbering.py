"""Invoice numbers without a gap, one counter to a series and a year."""

from datetime import date

from django.db import connection

NEXT_NUMBER_SQL = """
INSERT INTO billing_invoicecounter (series, year, last) VALUES (%s, %s, 1)
ON CONFLICT (series, year) DO UPDATE SET last = billing_invoicecounter.last + 1
RETURNING last
"""


def next_number(series: str, issued_on: date) -> str:
    """The next number of a series in the year of issue, such as TW-2026-000001.

    The counter's row stays locked until the caller's transaction ends, and the number is given back if that fails:
    so number last, and in a short transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute(NEXT_NUMBER_SQL, [series, issued_on.year])
        [(last,)] = cursor.fetchall()
    return f"{series}-{issued_on.year}-{last:06d}"
