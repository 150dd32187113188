"""Holds the ledger against itself and against what it booked, each night, and raises an alert where they differ.

Postgres and the one writer see to it that nothing of this happens. Somebody with a superuser's rights can still do it.
"""

import logging

from django.db import connection

from metering import alerts

log = logging.getLogger(__name__)

DIFFERS = "ledger_differs"
SHOWN_MAX = 20

# Each finds what is wrong, a sentence a row. One statement sees one state of the database, where a deed and its entry
# are both there or both not. Where every entry balances, so does the whole.
CHECKS = {
    "entries": """
        SELECT format('%s sums to %s %s', e.key, sum(p.amount), p.currency)
          FROM billing_entry e JOIN billing_posting p ON p.entry_id = e.id
         GROUP BY e.id, p.currency HAVING sum(p.amount) <> 0
         UNION ALL
        SELECT format('%s has %s postings, and was booked with %s', e.key, count(p.id), e.legs)
          FROM billing_entry e LEFT JOIN billing_posting p ON p.entry_id = e.id
         GROUP BY e.id HAVING count(p.id) <> e.legs
    """,
    "invoices": """
        SELECT format('%s over %s is booked %s times, over %s', i.number, i.gross,
                      count(e.id), coalesce(sum(p.amount), 0))
          FROM billing_invoice i
          LEFT JOIN billing_entry e ON e.invoice_id = i.id AND e.kind = 'invoice'
          LEFT JOIN billing_posting p ON p.entry_id = e.id AND p.account = 'receivable' AND p.currency = i.currency
         WHERE i.status = 'final'
         GROUP BY i.id HAVING count(e.id) <> 1 OR sum(p.amount) IS DISTINCT FROM i.gross
    """,
    "lines": """
        SELECT format('the lines of %s sum to %s, and its net amount is %s', i.number, sum(l.amount), i.net)
          FROM billing_invoice i LEFT JOIN billing_invoiceline l ON l.invoice_id = i.id
         WHERE i.status = 'final'
         GROUP BY i.id HAVING sum(l.amount) IS DISTINCT FROM i.net
    """,
    "payments": """
        SELECT format('payment %s over %s is booked over %s, of which %s was reversed', y.id, y.amount,
                      coalesce(sum(p.amount) FILTER (WHERE e.kind = 'payment'), 0),
                      coalesce(-sum(p.amount) FILTER (WHERE e.kind = 'payment_reversal'), 0))
          FROM billing_payment y
          LEFT JOIN billing_entry e ON e.key IN ('payment:' || y.id, 'payment:' || y.id || ':reversed')
          LEFT JOIN billing_posting p ON p.entry_id = e.id AND p.account = 'cash' AND p.currency = y.currency
         GROUP BY y.id
        HAVING sum(p.amount) FILTER (WHERE e.kind = 'payment') IS DISTINCT FROM y.amount
            OR sum(p.amount) FILTER (WHERE e.kind = 'payment_reversal')
               IS DISTINCT FROM CASE WHEN y.reversed_at IS NOT NULL THEN -y.amount END
    """,
    "wallet credits": """
        SELECT format('wallet credit %s over %s is booked over %s', c.id, c.amount, coalesce(sum(p.amount), 0))
          FROM billing_walletcredit c
          LEFT JOIN billing_entry e ON e.key = 'wallet_credit:' || c.id
          LEFT JOIN billing_posting p ON p.entry_id = e.id AND p.account = 'cash'
         GROUP BY c.id HAVING sum(p.amount) IS DISTINCT FROM c.amount
    """,
}


def check() -> dict[str, list[str]]:
    """Make every check; raise or resolve its alert, and return what differs, SHOWN_MAX of each at most."""
    found = {subject: _differences(sql) for subject, sql in CHECKS.items()}
    for subject, differences in found.items():
        if differences:
            message = (
                f"The books differ: {'; '.join(differences)}. Somebody wrote to the tables besides billing:"
                " find out who, and close no period until each is explained."
            )
            alerts.raise_alert(DIFFERS, subject, message, differences=differences)
        else:
            alerts.resolve(DIFFERS, subject)
    log.info("The ledger was held against what it booked; %d differences.", sum(map(len, found.values())))
    return {subject: differences for subject, differences in found.items() if differences}


def _differences(sql: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} LIMIT {SHOWN_MAX}")
        return [sentence for (sentence,) in cursor.fetchall()]
