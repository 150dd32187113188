"""The operator's pages about closing runs, previews and credit notes."""

from datetime import date
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from billing import closing, runs
from billing.models import ClosingItem, ClosingRun, Invoice
from tenants.models import Tenant
from tests.billing.samples import DECEMBER, NOVEMBER, YEAR, add_usage
from tests.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def founded_long_ago(priced: Person) -> None:
    Tenant.objects.update(created_at=YEAR)


@pytest.fixture
def invoice(priced: Person) -> Invoice:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    return closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)


def page(name: str, *args: object) -> str:
    return reverse(f"admin:billing_{name}", args=args)


def start(office: Client, month: str) -> str:
    answer = office.post(page("closingrun_start_run"), {"month": month, "grace_hours": "0", "_form_submitted": "1"})
    return office.get(answer["HX-Redirect"]).text if "HX-Redirect" in answer else answer.text


def test_an_operator_starts_a_run_and_sees_how_far_it_is(office: Client, priced: Person) -> None:
    add_usage(priced.project, YEAR, "output", 1_000_000)
    assert "1 pending" in start(office, "2026-01")
    assert (ClosingRun.objects.get().started_by, ClosingRun.objects.get().grace_hours) == (
        User.objects.get(username="olga"),
        0,
    )
    runs.work()
    assert "1 done" in office.get(page("closingrun_changelist")).text
    assert "2.86 USD" in office.get(page("closingitem_changelist")).text
    assert office.get(page("closingitem_change", ClosingItem.objects.get().pk)).status_code == 200
    assert "is not a month" in start(office, "soon")
    assert "has not begun anywhere" in start(office, "2998-01")


def take_up(office: Client, action: str) -> str:
    form = {"action": action, "_selected_action": [str(ClosingItem.objects.get().pk)]}
    return office.post(page("closingitem_changelist"), form, follow=True).text


def test_an_operator_approves_what_was_parked(office: Client, priced: Person) -> None:
    add_usage(priced.project, YEAR, "output", 4_000_000)
    closing.close(priced.tenant, date(2026, 1, 1))
    add_usage(priced.project, YEAR.replace(month=3), "output", 400_000_000)
    start(office, "2026-03")
    runs.work()
    assert "the last was over 11.42 USD" in office.get(page("closingitem_changelist")).text
    assert "2026-03 of acme goes on." in take_up(office, "approve")
    runs.work()
    assert Invoice.objects.get(ordinal=2).gross == Decimal("1142.40")
    assert "2026-03 of acme is Done, and not parked." in take_up(office, "try_again")


def test_a_clerk_may_look_and_not_approve(client: Client, priced: Person) -> None:
    runs.start(date(2026, 1, 1))
    clerk = User.objects.create_user("carl", is_staff=True)
    client.force_login(clerk)
    assert client.get(page("closingitem_changelist")).status_code == 403
    assert client.post(page("closingrun_start_run"), {"month": "2026-01"}).status_code == 403


def test_an_operator_previews_a_month(office: Client, priced: Person) -> None:
    def shown(month: str) -> str:
        return office.get(page("invoice_preview"), {"tenant": str(priced.tenant.pk), "month": month}).text

    add_usage(priced.project, YEAR, "output", 1_000_000)
    assert "Show" in office.get(page("invoice_preview")).text
    assert "2.86 USD" in shown("2026-01")
    assert "output tokens" in shown("2026-01")
    assert "acme has no usage left" in shown("2026-02")
    assert "is not a month" in shown("soon")
    assert not Invoice.objects.exists()


def test_an_operator_gives_a_credit_note(office: Client, invoice: Invoice) -> None:
    target = page("invoice_credit_note", invoice.pk)
    assert target in office.get(page("invoice_change", invoice.pk)).text
    assert "2.40" in office.get(target).text
    refused = office.post(target, {"reason": "An outage", "line_1": "2.41"})
    assert "2.4 USD of line 1 is left, and 2.41 USD was asked for" in refused.text
    answer = office.post(target, {"reason": "An outage", "line_1": "1.00"})
    note = Invoice.objects.get(kind=Invoice.Kind.CREDIT_NOTE)
    assert (answer["Location"], note.gross) == (page("invoice_change", note.pk), Decimal("1.19"))
    assert "An outage" in office.get(answer["Location"]).text
    assert "taken back of TW-2026-000001" in office.get(page("invoice_changelist")).text
    office.post(target, {"reason": "All of it"})
    assert "Nothing of it is left" in office.get(target).text
    assert office.get(page("invoice_credit_note", note.pk)).status_code == 403
