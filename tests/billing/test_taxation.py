"""How months of the cast are taxed when nobody entered a rate for them, and what Postgres refuses."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import Client

from billing import closing, standard_rates
from billing.errors import TaxIsUnclear
from billing.models import Invoice, InvoiceLine, Period, Seller, TaxExemption, TaxRate
from billing.tax import OUTSIDE_THE_EU, REVERSE_CHARGE
from tenants.models import Tenant
from tests.billing.samples import DECEMBER, NOVEMBER, OCTOBER_LAST, add_usage
from tests.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)

FRENCH = {"country": "FR", "address_lines": "1 rue de Rivoli\n75001 Paris", "tax_number": "FR40303265045"}


@pytest.fixture
def by_rule(priced: Person) -> Tenant:
    """Acme, whose tax is left to the rules, with a million tokens that cost 2.40."""
    standard_rates.enter()
    Tenant.objects.filter(pk=priced.tenant.pk).update(tax_rate_percent=None)
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    return Tenant.objects.get(pk=priced.tenant.pk)


def closed(tenant: Tenant, **fields: object) -> Invoice:
    Tenant.objects.filter(pk=tenant.pk).update(**fields)
    return closing.close(Tenant.objects.get(pk=tenant.pk), date(2026, 11, 1), now=DECEMBER)


def only_tax(invoice: Invoice) -> tuple[str, Decimal, Decimal, Decimal, str]:
    tax = invoice.taxes.get()
    line = invoice.lines.get()
    assert (line.tax_category, line.tax_rate_percent) == (tax.category, tax.rate_percent)
    assert invoice.gross == tax.net + tax.tax
    return tax.category, tax.rate_percent, tax.net, tax.tax, tax.reason


def test_a_buyer_at_home_pays_the_sellers_rate(by_rule: Tenant) -> None:
    assert only_tax(closed(by_rule)) == ("S", Decimal(19), Decimal("2.40"), Decimal("0.46"), "")


def test_a_business_in_another_member_state_owes_the_tax_itself(by_rule: Tenant) -> None:
    assert only_tax(closed(by_rule, **FRENCH)) == ("AE", Decimal(0), Decimal("2.40"), Decimal(0), REVERSE_CHARGE)


def test_a_buyer_abroad_without_a_vat_id_pays_the_rate_of_its_own_country(by_rule: Tenant) -> None:
    found = closed(by_rule, **{**FRENCH, "tax_number": ""})
    assert only_tax(found) == ("S", Decimal(20), Decimal("2.40"), Decimal("0.48"), "")


def test_a_seller_below_the_threshold_taxes_consumers_abroad_at_home(by_rule: Tenant) -> None:
    Seller.objects.update(in_one_stop_shop=False)
    found = closed(by_rule, **{**FRENCH, "tax_number": ""})
    assert only_tax(found) == ("S", Decimal(19), Decimal("2.40"), Decimal("0.46"), "")


def test_a_buyer_outside_the_eu_pays_no_tax(by_rule: Tenant) -> None:
    american = {"country": "US", "address_lines": "1 Market Street\nSan Francisco, CA 94105", "tax_number": ""}
    found = closed(by_rule, **american)
    assert only_tax(found) == ("O", Decimal(0), Decimal("2.40"), Decimal(0), OUTSIDE_THE_EU)


def test_an_exemption_holds_from_its_first_to_its_last_day_and_is_printed(by_rule: Tenant) -> None:
    TaxExemption.objects.create(
        tenant=by_rule, valid_from="2026-11-01", valid_until="2026-11-29", reason="Ended before the month did."
    )
    TaxExemption.objects.create(
        tenant=by_rule, valid_from="2026-11-30", reason="Art. 151(1)(b) of Directive 2006/112/EC."
    )
    found = closed(by_rule)
    assert only_tax(found)[0::4] == ("E", "Art. 151(1)(b) of Directive 2006/112/EC.")


def test_late_usage_is_taxed_as_its_month_was(by_rule: Tenant, priced: Person) -> None:
    add_usage(priced.project, OCTOBER_LAST, "output", 1_000_000)
    closing.close(by_rule, date(2026, 10, 1), now=NOVEMBER)
    add_usage(priced.project, OCTOBER_LAST, "output", 2_000_000)
    invoice = closed(by_rule, **FRENCH)
    assert list(invoice.taxes.values_list("category", "rate_percent", "net", "tax")) == [
        ("AE", Decimal(0), Decimal("2.40"), Decimal(0)),
        ("S", Decimal(19), Decimal("4.80"), Decimal("0.91")),
    ]
    assert invoice.tax == Decimal("0.91")


def test_a_rate_that_begins_in_a_month_holds_for_the_supply_that_ends_with_it(by_rule: Tenant) -> None:
    TaxRate.objects.create(country="DE", valid_from="2026-11-30", percent=21, source="A test.")
    assert only_tax(closed(by_rule))[1] == Decimal(21)


def test_a_month_whose_tax_is_unclear_is_not_closed(by_rule: Tenant) -> None:
    TaxRate.objects.all().delete()
    with pytest.raises(TaxIsUnclear, match="No standard rate of DE is known for 2026-11-30") as refused:
        closed(by_rule)
    assert refused.value.field == "tax_rate_percent"
    assert not Invoice.objects.exists()


def test_reverse_charge_needs_the_vat_id_of_the_seller(by_rule: Tenant) -> None:
    Seller.objects.update(tax_number="12/345/67890")
    with pytest.raises(TaxIsUnclear, match="names the seller's VAT id"):
        closed(by_rule, **FRENCH)


@pytest.fixture
def draft(alice: Person) -> Invoice:
    """A draft of one line of 1.00 at 19 %, whose tax is told apart from it by hand."""
    times = {"start": NOVEMBER, "end": DECEMBER}
    period = Period.objects.create(
        tenant=alice.tenant, month=date(2026, 11, 1), time_zone="UTC", cutoff=DECEMBER, **times
    )
    invoice = Invoice.objects.create(
        tenant=alice.tenant, period=period, ordinal=1, usage_until=DECEMBER, seller={}, buyer={}, currency="USD",
        net=1, tax=Decimal("0.19"), gross=Decimal("1.19"), created_at=DECEMBER,
    )  # fmt: skip
    InvoiceLine.objects.create(
        invoice=invoice, position=1, description="Fee", month=period.month, is_correction=False, quantity=1,
        unit_amount=1, per=1, exact=1, amount=1, tax_rate_percent=19, service_start=NOVEMBER, service_end=DECEMBER,
    )  # fmt: skip
    return invoice


def make_final(invoice: Invoice) -> None:
    with transaction.atomic():
        Invoice.objects.filter(pk=invoice.pk).update(
            status="final", number="TW-1", issued_on=DECEMBER, due_on=DECEMBER, finalised_at=DECEMBER
        )


def test_an_invoice_whose_taxes_add_up_is_final(draft: Invoice) -> None:
    draft.taxes.create(category="S", rate_percent=19, net=1, tax=Decimal("0.19"))
    make_final(draft)


@pytest.mark.parametrize(
    ("taxes", "reason"),
    [
        ([], "taxes of invoice TW-1 do not sum to its tax"),
        ([("S", 19, "1.00", "0.20")], "taxes of invoice TW-1 do not sum to its tax"),
        ([("S", 19, "2.00", "0.19")], "lines of invoice TW-1 do not sum to the net amounts of its taxes"),
        ([("S", 20, "1.00", "0.19")], "lines of invoice TW-1 do not sum to the net amounts of its taxes"),
        ([("S", 19, "1.00", "0.19"), ("Z", 0, "1.00", "0")], "lines of invoice TW-1 do not sum to the net amounts"),
    ],
)
def test_an_invoice_whose_taxes_do_not_add_up_is_not_final(
    draft: Invoice, taxes: list[tuple[str, int, str, str]], reason: str
) -> None:
    for category, rate, net, tax in taxes:
        draft.taxes.create(category=category, rate_percent=rate, net=Decimal(net), tax=Decimal(tax))
    with pytest.raises(IntegrityError, match=reason):
        make_final(draft)


def test_the_taxes_of_a_final_invoice_never_change(by_rule: Tenant) -> None:
    invoice = closed(by_rule)
    with pytest.raises(IntegrityError, match="never change"), transaction.atomic():
        invoice.taxes.update(net=0)
    with pytest.raises(IntegrityError, match="never change"), transaction.atomic():
        invoice.taxes.all().delete()


@pytest.mark.parametrize(
    "row",
    [
        {"category": "S", "rate_percent": 0, "tax": 0},
        {"category": "AE", "rate_percent": 19, "tax": 1, "reason": "Because."},
        {"category": "AE", "rate_percent": 0, "tax": 0},
    ],
)
def test_a_tax_without_its_rate_or_its_reason_is_refused(draft: Invoice, row: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match=r"tax_at_standard_rate_only|tax_none_with_reason"), transaction.atomic():
        draft.taxes.create(net=1, **row)


def test_the_command_enters_rates_once_and_leaves_the_operators_alone(
    db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    TaxRate.objects.create(country="DE", valid_from="2007-01-01", percent=19, source="Ours.")
    call_command("tax_rates")
    call_command("tax_rates")
    assert TaxRate.objects.get(country="DE").source == "Ours."
    assert TaxRate.objects.count() == 1 + sum(rate.country != "DE" for rate in standard_rates.RATES)
    assert "FR  2014-01-01   20.00 %  was there" in capsys.readouterr().out


def test_rates_and_exemptions_are_entered_on_their_pages(office: Client, alice: Person) -> None:
    rate = {"country": "DE", "valid_from": "2007-01-01", "percent": "19", "source": "§ 12 Abs. 1 UStG"}
    office.post("/admin/billing/taxrate/add/", rate)
    assert TaxRate.objects.get().percent == 19
    wrong = {"tenant": alice.tenant.pk, "valid_from": "2026-02-01", "valid_until": "2026-01-01", "reason": "Why."}
    refused = office.post("/admin/billing/taxexemption/add/", wrong)
    assert "valid_until" in refused.context["adminform"].form.errors
    office.post("/admin/billing/taxexemption/add/", {**wrong, "valid_until": ""})
    assert TaxExemption.objects.get().tenant == alice.tenant
