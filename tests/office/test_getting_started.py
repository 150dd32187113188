"""docs/getting-started.md, page by page, through the forms that an operator fills in."""

import re
from typing import Any

from django.db import connection
from django.test import Client

from billing.models import PriceBook, PriceBookVersion, Rate
from billing.snapshot import PRICED_OFFERINGS_SQL
from inference.models import Hardware, Worker
from providers.models import Offering, Upstream
from tenants.models import Tenant
from tests.layers.test_imports import ROOT

NOVEMBER = {"valid_from_0": "2026-11-01", "valid_from_1": "00:00:00"}
UNITS = ("input_uncached", "input_cached", "output", "reasoning")


def shown_on(page: Any) -> dict[str, Any]:
    """What the add page's form and its inlines would send as they are."""
    form = page.context["adminform"].form
    given = {form.add_prefix(name): form[name].value() for name in form.fields}
    for inline in page.context["inline_admin_formsets"]:
        management = inline.formset.management_form
        given |= {management.add_prefix(name): management[name].value() for name in management.fields}
    return {name: value for name, value in given.items() if value is not None and value is not False}


def enter(office: Client, page: str, **fields: object) -> str:
    """Fill in an add page and save it; return what the answer shows."""
    address = f"/admin/{page}/add/"
    answer = office.post(address, {**shown_on(office.get(address)), **fields}, follow=True)
    refused = answer.context.get("adminform")
    assert not (refused and refused.form.errors), refused.form.errors
    assert not [
        inline.formset.errors for inline in answer.context.get("inline_admin_formsets") or [] if inline.formset.errors
    ]
    return answer.content.decode()


def enter_the_pool(office: Client) -> None:
    enter(
        office,
        "inference/hardware",
        name="Our H100",
        device="H100 SXM",
        ownership="rented",
        currency="USD",
        rent_per_hour="2.35",
        source="our contract",
        as_of="2026-11-01",
    )
    enter(office, "providers/upstream", slug="h100", name="Our pool")
    enter(
        office,
        "inference/pool",
        upstream=Upstream.objects.get().pk,
        hardware=Hardware.objects.get().pk,
        devices=2,
        input_ns_per_token=294_267,
        output_ns_per_token=158_426,
        **{
            "created_at_0": "2026-11-01",
            "created_at_1": "00:00:00",
            "workers-TOTAL_FORMS": 1,
            "workers-0-base_url": "http://127.0.0.1:9101",
            "workers-0-engine": "simulator",
            "workers-0-enabled": "on",
        },
    )


def enter_what_is_sold(office: Client) -> None:
    enter(office, "providers/offering", name="simulated-70b")
    enter(
        office,
        "providers/deployment",
        slug="simulated-70b-h100",
        offering=Offering.objects.get().pk,
        upstream=Upstream.objects.get().pk,
        model_name="simulated-70b",
    )


def enter_the_prices(office: Client) -> None:
    enter(office, "billing/pricebook", slug="standard", name="Standard", currency="USD")
    rates = {
        f"rates-{i}-{field}": value
        for i, unit in enumerate(UNITS)
        for field, value in {"offering": "simulated-70b", "unit": unit, "amount": "0.59", "per": 1_000_000}.items()
    }
    book = PriceBook.objects.get()
    enter(
        office, "billing/pricebookversion", price_book=book.pk, **NOVEMBER, **rates, **{"rates-TOTAL_FORMS": len(UNITS)}
    )
    version = PriceBookVersion.objects.get()
    office.post("/admin/billing/pricebookversion/", {"action": "publish", "_selected_action": [version.pk]})


def enter_the_seller(office: Client) -> None:
    enter(
        office,
        "billing/seller",
        legal_name="Factory AG",
        address_lines="Weg 1\n20354 Hamburg",
        country="DE",
        tax_number="DE811907980",
        bank_details="IBAN DE89",
        email="billing@factory.example",
        payment_terms_days=14,
        invoice_prefix="TW",
    )


def enter_the_tax_rate(office: Client) -> None:
    enter(office, "billing/taxrate", country="DE", valid_from="2007-01-01", percent=19, source="§ 12 Abs. 1 UStG")


def enter_the_tenant(office: Client) -> str:
    return enter(
        office,
        "tenants/tenant",
        slug="acme",
        name="Acme",
        currency="USD",
        time_zone="UTC",
        legal_name="Acme GmbH",
        address_lines="Musterstraße 1\n10115 Berlin",
        country="DE",
        invoice_email="billing@acme.example",
    )


def test_the_pages_of_a_pool_give_a_worker(office: Client) -> None:
    enter_the_pool(office)
    assert Worker.objects.get().base_url == "http://127.0.0.1:9101"


def test_the_pages_of_prices_give_a_published_version(office: Client) -> None:
    enter_the_pool(office)
    enter_what_is_sold(office)
    enter_the_prices(office)
    assert Rate.objects.count() == len(UNITS)
    assert PriceBookVersion.objects.get().published_at


def test_the_page_of_a_tenant_shows_its_first_key(office: Client) -> None:
    assert re.search(r"sk-tw-[\w-]{43}", enter_the_tenant(office))


def test_the_pages_in_their_order_lead_to_a_priced_offering(office: Client) -> None:
    for step in (enter_the_pool, enter_what_is_sold, enter_the_prices, enter_the_seller):
        step(office)
    enter_the_tax_rate(office)
    enter_the_tenant(office)
    acme = Tenant.objects.get()
    starts = {"starts_at_0": "2026-11-01", "starts_at_1": "00:00:00"}
    enter(office, "billing/plan", tenant=acme.pk, price_book=PriceBook.objects.get().pk, **starts)
    with connection.cursor() as cursor:
        cursor.execute(PRICED_OFFERINGS_SQL)
        assert cursor.fetchall() == [(acme.pk, "simulated-70b")]


def test_the_page_names_every_table_in_the_order_of_the_test() -> None:
    text = (ROOT / "docs" / "getting-started.md").read_text()
    pages = re.findall(r"^\| ([A-Z][\w ,]+?) \|", text, re.MULTILINE)
    assert pages == [
        "Hardware",
        "Upstreams",
        "Pools",
        "Pools, Workers",
        "Offerings",
        "Deployments",
        "Price books",
        "Price book versions",
        "Price book versions",
        "Sellers",
        "Tax rates",
        "Tenants",
        "Plans",
    ]
