"""Buyers that an invoice could not name as the law wants: refused by field, at the page and at the closing."""

from datetime import date

import pytest
from django.test import Client

from billing import closing
from billing.errors import BuyerIsIncomplete
from billing.models import Invoice, Period, Seller
from tenants.models import Tenant
from tests.billing.samples import DECEMBER, NOVEMBER, add_usage
from tests.conftest import Person

LACKING = [
    ({"legal_name": " "}, "legal_name", "lacks legal_name"),
    ({"address_lines": "Musterstraße 1, 10115 Berlin"}, "address_lines", "two lines or more"),
    ({"address_lines": "Musterstraße 1\nBerlin"}, "address_lines", "postal code, such as 10115"),
    ({"country": "UK"}, "country", "UK is no country of ISO 3166. Give GB."),
    ({"tax_number": "DE136695977"}, "tax_number", "length or check digits are wrong"),
    ({"tax_number": "FR40303265045"}, "tax_number", "does not belong to DE"),
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("fields", "field", "reason"), LACKING)
def test_a_month_of_an_incomplete_buyer_is_refused_by_field_and_nothing_is_begun(
    priced: Person, fields: dict[str, str], field: str, reason: str
) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    Tenant.objects.filter(pk=priced.tenant.pk).update(**fields)
    with pytest.raises(BuyerIsIncomplete, match=reason) as refused:
        closing.close(Tenant.objects.get(pk=priced.tenant.pk), date(2026, 11, 1), now=DECEMBER)
    assert refused.value.field == field
    assert not Invoice.objects.exists()
    assert not Period.objects.exists()


@pytest.mark.parametrize(("fields", "field", "_reason"), LACKING)
def test_the_page_of_a_tenant_refuses_the_same_beside_its_field(
    office: Client, fields: dict[str, str], field: str, _reason: str
) -> None:
    page = {
        "slug": "acme", "name": "Acme", "currency": "EUR", "time_zone": "UTC", "legal_name": "Acme GmbH",
        "address_lines": "Musterstraße 1\n10115 Berlin", "country": "DE", "tax_number": "DE136695976",
        "invoice_email": "billing@acme.example", "language": "en", "when_counters_away": "refuse",
    }  # fmt: skip
    response = office.post("/admin/tenants/tenant/add/", {**page, **fields})
    assert set(response.context["adminform"].form.errors) == {field}
    assert not Tenant.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_parties_in_italy_name_the_buyers_tax_number(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    italian = {"country": "IT", "address_lines": "Via Roma 1\n00118 Roma", "tax_number": ""}
    Seller.objects.update(**{**italian, "tax_number": "IT00743110157"})
    Tenant.objects.filter(pk=priced.tenant.pk).update(**italian)
    with pytest.raises(BuyerIsIncomplete, match="lacks its tax number") as refused:
        closing.close(Tenant.objects.get(pk=priced.tenant.pk), date(2026, 11, 1), now=DECEMBER)
    assert refused.value.field == "tax_number"
    Tenant.objects.filter(pk=priced.tenant.pk).update(tax_number="RSSMRA85T10A562S")
    assert closing.close(Tenant.objects.get(pk=priced.tenant.pk), date(2026, 11, 1), now=DECEMBER).number


def test_the_page_of_the_seller_keeps_a_vat_id_in_its_short_form(office: Client, seller: Seller) -> None:
    page = {
        "legal_name": "Factory AG", "address_lines": "Weg 1\r\n20354 Hamburg", "country": "DE",
        "tax_number": "DE 811 907 980", "bank_details": "IBAN DE89", "email": "billing@factory.example",
        "payment_terms_days": 14, "invoice_prefix": "TW",
    }  # fmt: skip
    address = f"/admin/billing/seller/{seller.pk}/change/"
    refused = office.post(address, {**page, "tax_number": "DE811907981"})
    assert set(refused.context["adminform"].form.errors) == {"tax_number"}
    assert office.post(address, page).status_code == 302
    seller.refresh_from_db()
    assert (seller.tax_number, seller.address_lines) == ("DE811907980", "Weg 1\n20354 Hamburg")
