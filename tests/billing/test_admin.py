"""The operator's pages about prices and invoices."""

from datetime import date, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing import closing, publishing
from billing.models import Invoice, Plan, PriceBook, PriceBookVersion, Rate, Seller
from tests.billing.samples import DECEMBER, LLAMA, NOVEMBER, PRICES, YEAR, add_usage, new_version
from tests.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def invoice(priced: Person) -> Invoice:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    return closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)


def page(name: str, *args: object) -> str:
    return reverse(f"admin:billing_{name}", args=args)


@pytest.mark.parametrize("table", [Seller, PriceBook, PriceBookVersion, Plan, Invoice])
def test_every_page_opens(invoice: Invoice, office: Client, table: type[Model]) -> None:
    name = table._meta.model_name
    row = table._default_manager.get()
    assert office.get(page(f"{name}_changelist")).status_code == 200
    assert office.get(page(f"{name}_change", row.pk)).status_code == 200
    expected = 403 if table in (Seller, Invoice) else 200
    assert office.get(page(f"{name}_add")).status_code == expected


def rates(prices: dict[str, str]) -> dict[str, str]:
    """The form's fields for the rates of one offering."""
    form = {"rates-TOTAL_FORMS": str(len(prices)), "rates-INITIAL_FORMS": "0"}
    for number, (unit, amount) in enumerate(prices.items()):
        fields = {"offering": LLAMA, "unit": unit, "amount": amount, "per": "1000000"}
        form |= {f"rates-{number}-{name}": value for name, value in fields.items()}
    return form


def test_an_operator_enters_prices_and_publishes_them(office: Client, book: PriceBook) -> None:
    begins = {"price_book": str(book.pk), "valid_from_0": "2026-01-01", "valid_from_1": "00:00:00"}
    assert office.post(page("pricebookversion_add"), begins | rates(PRICES)).status_code == 302
    version = PriceBookVersion.objects.get()
    action = {"action": "publish", "_selected_action": [str(version.pk)]}
    office.post(page("pricebookversion_changelist"), action)
    version.refresh_from_db()
    assert version.published_at is not None
    assert office.post(page("pricebookversion_change", version.pk), begins | rates({})).status_code == 403
    assert office.post(page("pricebookversion_delete", version.pk), {"post": "yes"}).status_code == 403
    assert Rate.objects.count() == len(PRICES)


def test_an_operator_reads_why_prices_are_not_published(office: Client, book: PriceBook) -> None:
    version = new_version(book, YEAR, {"output": "1"})
    action = {"action": "publish", "_selected_action": [str(version.pk)]}
    answer = office.post(page("pricebookversion_changelist"), action, follow=True)
    assert f"{LLAMA} lacks input_uncached, input_cached, reasoning" in answer.text


def test_a_rate_that_is_not_exact_is_refused_on_the_page(office: Client, book: PriceBook) -> None:
    begins = {"price_book": str(book.pk), "valid_from_0": "2026-01-01", "valid_from_1": "00:00:00"}
    answer = office.post(page("pricebookversion_add"), begins | rates({"output": "0.0000001"}))
    assert answer.status_code == 200
    assert "Give at most 6 decimals" in answer.text
    assert not Rate.objects.exists()


def plan_form(person: Person, book: PriceBook, day: str) -> dict[str, str]:
    return {
        "tenant": str(person.tenant.pk),
        "price_book": str(book.pk),
        "starts_at_0": day,
        "starts_at_1": "00:00:00",
    }


def test_an_operator_gives_a_tenant_a_plan(office: Client, alice: Person, book: PriceBook) -> None:
    assert office.post(page("plan_add"), plan_form(alice, book, "2026-01-01")).status_code == 302
    plan = Plan.objects.get()
    assert office.post(page("plan_change", plan.pk), plan_form(alice, book, "2026-02-01")).status_code == 403
    tomorrow = (timezone.now() + timedelta(days=2)).replace(hour=0, minute=0, second=0, microsecond=0)
    later = publishing.agree(alice.tenant, book, tomorrow)
    day = f"{tomorrow + timedelta(days=1):%Y-%m-%d}"
    assert office.post(page("plan_change", later.pk), plan_form(alice, book, day)).status_code == 302


def test_a_plan_over_invoiced_time_is_refused_on_the_page(office: Client, invoice: Invoice, priced: Person) -> None:
    answer = office.post(page("plan_add"), plan_form(priced, PriceBook.objects.get(), "2026-11-15"))
    assert "has been invoiced" in answer.text
    assert Plan.objects.count() == 1


def test_an_operator_downloads_the_pdf(office: Client, invoice: Invoice) -> None:
    assert page("invoice_pdf", invoice.pk) in office.get(page("invoice_changelist")).text
    answer = office.get(page("invoice_pdf", invoice.pk))
    assert answer["Content-Type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF")
    assert office.get(page("invoice_pdf", 999)).status_code == 404


def test_an_invoice_cannot_be_changed_on_its_page(office: Client, invoice: Invoice) -> None:
    assert office.post(page("invoice_change", invoice.pk), {"number": "X"}).status_code == 403
    assert office.post(page("invoice_delete", invoice.pk), {"post": "yes"}).status_code == 403


def test_an_operator_closes_a_month(office: Client, priced: Person) -> None:
    add_usage(priced.project, YEAR, "output", 1_000_000)
    target = reverse("admin:billing_invoice_close_month")
    assert "Close a month" in office.get(target).text
    form = {"tenant": str(priced.tenant.pk), "month": "2026-01", "_form_submitted": "1"}
    answer = office.post(target, form)
    assert answer["HX-Redirect"] == page("invoice_change", Invoice.objects.get().pk)
    assert "is final" in office.get(answer["HX-Redirect"]).text


def test_an_operator_reads_why_a_month_is_not_closed(office: Client, priced: Person) -> None:
    target = reverse("admin:billing_invoice_close_month")
    form = {"tenant": str(priced.tenant.pk), "month": "2026-01", "_form_submitted": "1"}
    answer = office.post(target, form)
    assert "acme has no usage left" in office.get(answer["HX-Redirect"]).text
    assert "is not a month" in office.post(target, {**form, "month": "soon"}).text


def test_staff_without_the_permission_neither_close_nor_download(client: Client, invoice: Invoice) -> None:
    clerk = User.objects.create_user("carl", password="correct horse battery", is_staff=True)
    client.force_login(clerk)
    form = {"tenant": str(invoice.tenant_id), "month": "2026-01", "_form_submitted": "1"}
    assert client.post(reverse("admin:billing_invoice_close_month"), form).status_code == 403
    assert client.get(page("invoice_pdf", invoice.pk)).status_code == 404
    clerk.user_permissions.add(Permission.objects.get(codename="view_invoice"))
    assert client.get(page("invoice_pdf", invoice.pk)).status_code == 200
