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
          LEFT JOIN billing_entry e ON e.kind = i.kind AND e.key = i.kind || ':' || i.id
                                   AND e.invoice_id = coalesce(i.corrects_id, i.id)
          LEFT JOIN billing_posting p ON p.entry_id = e.id AND p.account = 'receivable' AND p.currency = i.currency
         WHERE i.status = 'final'
         GROUP BY i.id
        HAVING count(e.id) <> 1
            OR sum(p.amount) IS DISTINCT FROM CASE i.kind WHEN 'credit_note' THEN -i.gross ELSE i.gross END
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
    "settlements": """
        SELECT format('%s %s over %s is booked over %s', s.kind, s.id, s.amount, coalesce(abs(sum(p.amount)), 0))
          FROM billing_settlement s
          LEFT JOIN billing_entry e ON e.kind = s.kind AND e.key = s.kind || ':' || s.id AND e.invoice_id = s.invoice_id
          LEFT JOIN billing_posting p ON p.entry_id = e.id AND p.account = 'receivable' AND p.currency = s.currency
         GROUP BY s.id
        HAVING sum(p.amount) IS DISTINCT FROM CASE s.kind WHEN 'refund' THEN s.amount ELSE -s.amount END
    """,
    "wallet credits": """
        SELECT format('wallet credit %s over %s is booked over %s', c.id, c.amount, coalesce(sum(p.amount), 0))
          FROM billing_walletcredit c
          LEFT JOIN billing_entry e ON e.key = 'wallet_credit:' || c.id
          LEFT JOIN billing_posting p ON p.entry_id = e.id AND p.account = 'cash'
         GROUP BY c.id
        HAVING sum(p.amount) IS DISTINCT FROM CASE c.kind WHEN 'bought' THEN c.amount END
    """,
    "wallet draws": """
        SELECT format('wallet credit %s over %s is drawn to %s', c.id, c.amount, sum(d.amount))
          FROM billing_walletcredit c JOIN billing_walletdraw d ON d.credit_id = c.id
         GROUP BY c.id HAVING sum(d.amount) NOT BETWEEN least(0, c.amount) AND greatest(0, c.amount)
         UNION ALL
        SELECT format('%s of wallet credit %s over %s is booked over %s', d.kind, d.credit_id, d.amount,
                      coalesce(sum(p.amount), 0))
          FROM billing_walletdraw d
          JOIN billing_walletcredit c ON c.id = d.credit_id AND c.kind = 'bought'
          LEFT JOIN billing_entry e ON e.key = 'wallet_' || d.kind || ':' || d.id
          LEFT JOIN billing_posting p ON p.entry_id = e.id AND p.account = 'wallet_liability'
         WHERE d.kind IN ('expiry', 'refund')
         GROUP BY d.id HAVING sum(p.amount) IS DISTINCT FROM d.amount
    """,
    "invoices' wallets": """
        SELECT format('%s shows %s paid and %s granted by the wallet, which gave %s and %s; %s is booked', i.number,
                      i.prepaid, shown.granted, drawn.bought, drawn.granted, booked.amount)
          FROM billing_invoice i
         CROSS JOIN LATERAL (SELECT coalesce(-sum(amount), 0) AS granted FROM billing_invoiceline
                              WHERE invoice_id = i.id AND kind = 'grant') shown
         CROSS JOIN LATERAL (SELECT coalesce(sum(d.amount) FILTER (WHERE c.kind = 'bought'), 0) AS bought,
                                    coalesce(sum(d.amount) FILTER (WHERE c.kind = 'granted'), 0) AS granted
                               FROM billing_walletdraw d JOIN billing_walletcredit c ON c.id = d.credit_id
                              WHERE d.invoice_id = i.id) drawn
         CROSS JOIN LATERAL (SELECT coalesce(sum(p.amount), 0) AS amount
                               FROM billing_entry e JOIN billing_posting p ON p.entry_id = e.id
                              WHERE e.key = 'wallet_use:' || i.id AND p.account = 'wallet_liability') booked
         WHERE i.status = 'final' AND i.kind = 'invoice'
           AND NOT (i.prepaid = drawn.bought AND drawn.bought = booked.amount AND shown.granted = drawn.granted)
    """,
    "wallets": """
        SELECT format('the wallet of tenant %s holds %s, and the ledger owes it %s',
                      tenant_id, coalesce(held.amount, 0), coalesce(owed.amount, 0))
          FROM (SELECT c.tenant_id, sum(c.amount - coalesce(d.amount, 0)) AS amount
                  FROM billing_walletcredit c
                  LEFT JOIN (SELECT credit_id, sum(amount) AS amount FROM billing_walletdraw GROUP BY credit_id) d
                         ON d.credit_id = c.id
                 WHERE c.kind = 'bought' GROUP BY c.tenant_id) held
          FULL JOIN (SELECT tenant_id, -sum(amount) AS amount FROM billing_posting
                      WHERE account = 'wallet_liability' GROUP BY tenant_id) owed USING (tenant_id)
         WHERE coalesce(held.amount, 0) <> coalesce(owed.amount, 0)
    """,
    "programmes": """
        SELECT format('programme %s has granted %s, and its grants come to %s', g.slug, g.granted,
                      coalesce(sum(c.amount), 0))
          FROM billing_programme g LEFT JOIN billing_walletcredit c ON c.programme_id = g.id
         GROUP BY g.id HAVING g.granted <> coalesce(sum(c.amount), 0) OR g.granted > g.pool
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
