"""Postgres itself keeps a final invoice as it is, and a draft honest."""

from datetime import date

import pytest
from django.db import IntegrityError, connection, transaction

from billing import closing
from billing.models import Invoice
from tests.billing.samples import DECEMBER, NOVEMBER, add_usage
from tests.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def invoice(priced: Person) -> Invoice:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    return closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)


def refused(sql: str, because: str) -> None:
    with pytest.raises(IntegrityError, match=because), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE billing_invoice SET net = 0, gross = tax",
        "UPDATE billing_invoice SET status = 'draft', number = NULL",
        "UPDATE billing_invoice SET buyer = '{}'",
        "DELETE FROM billing_invoice",
        "UPDATE billing_invoiceline SET quantity = 0",
        "UPDATE billing_invoiceline SET invoice_id = 0",
        "DELETE FROM billing_invoiceline",
        "INSERT INTO billing_invoiceline SELECT id + 1000, position + 1, description, month, is_correction, "
        "project_id, project, offering, unit, quantity, unit_amount, per, amount, service_start, service_end, "
        "invoice_id FROM billing_invoiceline",
        "UPDATE billing_invoiceusage SET quantity = 0",
        "DELETE FROM billing_invoiceusage",
        "UPDATE billing_period SET cutoff = now()",
        "DELETE FROM billing_period",
    ],
)
def test_nothing_of_a_final_invoice_changes(invoice: Invoice, sql: str) -> None:
    refused(sql, "never changes?")


def test_an_invoice_is_not_final_unless_its_lines_sum_to_its_net(invoice: Invoice) -> None:
    fields = {field.attname: getattr(invoice, field.attname) for field in Invoice._meta.concrete_fields}
    period = invoice.period
    period.pk, period.month = None, date(2026, 12, 1)
    period.save()
    draft = {**fields, "id": None, "ordinal": 2, "period_id": period.pk, "status": "draft", "number": None}
    Invoice.objects.create(**draft)
    refused("UPDATE billing_invoice SET status = 'final', number = 'TW-X' WHERE status = 'draft'", "do not sum")


def test_an_invoice_begins_as_a_draft(invoice: Invoice) -> None:
    invoice.pk, invoice.ordinal = None, 2
    with pytest.raises(IntegrityError, match="begins as a draft"), transaction.atomic():
        invoice.save(force_insert=True)


def test_no_column_of_billing_is_a_float(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_name LIKE 'billing%%' AND data_type IN ('real', 'double precision')"
        )
        assert cursor.fetchall() == []
        cursor.execute("SELECT count(*) FROM information_schema.columns WHERE table_name LIKE 'billing%%'")
        assert cursor.fetchall()[0][0] > 50
