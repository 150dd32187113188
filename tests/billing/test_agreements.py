"""What a tenant agreed to stands on its invoices, and stays as it is."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test import Client

from billing import agreements, closing, publishing
from billing.errors import (
    CouponTwice,
    EarlierMonthIsOpen,
    NothingToInvoice,
    PastIsInvoiced,
    TermsAreAgreed,
    TermsInAnotherCurrency,
)
from billing.models import Coupon, IncludedUsage, Invoice, PlanTerms, PriceBook, Redemption
from billing.periods import month
from tests.billing.samples import DECEMBER, LLAMA, NOVEMBER, add_usage
from tests.billing.test_closing import JANUARY
from tests.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)

OCTOBER = date(2026, 10, 1)
MONTH = date(2026, 11, 1)
NEXT_MONTH = date(2026, 12, 1)
MONTH_START = month(MONTH, "Europe/Berlin").start
MILLION = 1_000_000


def new_terms(**fields: Any) -> PlanTerms:
    return PlanTerms.objects.create(**{"name": "Team", "currency": "USD", **fields})


def agree(who: Person, book: PriceBook, terms: PlanTerms) -> None:
    """Alice's tenant begins the month of November with these terms."""
    publishing.agree(who.tenant, book, MONTH_START, terms)


def printed(invoice: Invoice) -> list[tuple[str, int, Decimal]]:
    return [(line.description, line.quantity, line.amount) for line in invoice.lines.all()]


def test_terms_stand_on_the_invoice_below_the_usage(priced: Person, book: PriceBook) -> None:
    terms = new_terms(fee="49.00", discount_percent="10", minimum="30")
    IncludedUsage.objects.create(terms=terms, offering=LLAMA, unit="output", quantity=5 * MILLION)
    agree(priced, book, terms)
    agreements.redeem(priced.tenant, Coupon.objects.create(code="HI", name="Welcome", amount=2, currency="USD"), MONTH)
    add_usage(priced.project, NOVEMBER, "output", 15 * MILLION)
    invoice = closing.close(priced.tenant, MONTH, now=DECEMBER)
    assert printed(invoice) == [
        (f"{LLAMA}, output tokens", 15 * MILLION, Decimal("36.00")),
        (f"{LLAMA}, output tokens, included", -5 * MILLION, Decimal("-12.00")),
        ("Discount of 10 %", -1, Decimal("-2.40")),
        ("Coupon: Welcome", -1, Decimal("-2.00")),
        ("Minimum charge", 1, Decimal("10.40")),
        ("Subscription fee: Team", 1, Decimal("49.00")),
    ]
    assert (invoice.net, invoice.gross) == (Decimal("79.00"), Decimal("94.01"))


def test_a_month_with_a_fee_and_without_usage_makes_an_invoice(priced: Person, book: PriceBook) -> None:
    agree(priced, book, new_terms(fee="49.00"))
    invoice = closing.close(priced.tenant, MONTH, now=DECEMBER)
    assert printed(invoice) == [("Subscription fee: Team", 1, Decimal("49.00"))]
    line = invoice.lines.get()
    assert (line.service_start, line.service_end) == (invoice.period.start, invoice.period.end)


def test_a_month_with_a_fee_is_not_passed_over(priced: Person, book: PriceBook) -> None:
    agree(priced, book, new_terms(fee="49.00"))
    with pytest.raises(EarlierMonthIsOpen, match="costs something in 2026-11"):
        closing.close(priced.tenant, NEXT_MONTH, now=JANUARY)


def test_terms_that_ask_for_nothing_make_no_invoice(priced: Person, book: PriceBook) -> None:
    agree(priced, book, new_terms(discount_percent="10"))
    with pytest.raises(NothingToInvoice):
        closing.close(priced.tenant, MONTH, now=DECEMBER)


def test_a_change_of_terms_inside_a_month_divides_it(priced: Person, book: PriceBook) -> None:
    agree(priced, book, new_terms(fee="30.00"))
    change = MONTH_START + timedelta(days=10)
    publishing.agree(priced.tenant, book, change, new_terms(name="Firm", fee="300.00", discount_percent="50"))
    add_usage(priced.project, change - timedelta(minutes=15), "output", MILLION)
    add_usage(priced.project, change, "output", MILLION)
    assert printed(closing.close(priced.tenant, MONTH, now=DECEMBER)) == [
        (f"{LLAMA}, output tokens", MILLION, Decimal("2.40")),
        (f"{LLAMA}, output tokens", MILLION, Decimal("2.40")),
        ("Discount of 50 %", -1, Decimal("-1.20")),
        ("Subscription fee: Team", 1, Decimal("10.00")),
        ("Subscription fee: Firm", 1, Decimal("200.00")),
    ]


def test_late_usage_moves_allowance_and_minimum_as_if_it_had_been_there_in_time(
    priced: Person, book: PriceBook
) -> None:
    terms = new_terms(minimum="10")
    IncludedUsage.objects.create(terms=terms, unit="output", quantity=2 * MILLION)
    agree(priced, book, terms)
    add_usage(priced.project, NOVEMBER, "output", MILLION)
    first = closing.close(priced.tenant, MONTH, now=DECEMBER)
    assert first.net == Decimal(10)
    add_usage(priced.project, NOVEMBER, "output", 4 * MILLION)
    second = closing.close(priced.tenant, NEXT_MONTH, now=JANUARY)
    assert printed(second) == [
        ("Minimum charge", 1, Decimal("10.00")),
        (f"{LLAMA}, output tokens (late usage of November 2026)", 4 * MILLION, Decimal("9.60")),
        (f"{LLAMA}, output tokens, included (correction of November 2026)", -MILLION, Decimal("-2.40")),
        ("Minimum charge (correction of November 2026)", -1, Decimal("-7.20")),
    ]


def test_a_commitment_counts_what_its_earlier_months_cost(priced: Person, book: PriceBook) -> None:
    agree(priced, book, new_terms(commitment="100", commitment_months=2))
    add_usage(priced.project, NOVEMBER, "output", 10 * MILLION)
    assert closing.close(priced.tenant, MONTH, now=DECEMBER).net == Decimal(24)
    add_usage(priced.project, NOVEMBER, "output", 5 * MILLION)  # Late, and counted all the same.
    assert printed(closing.close(priced.tenant, NEXT_MONTH, now=JANUARY)) == [
        ("Commitment not used up", 1, Decimal("64.00")),
        (f"{LLAMA}, output tokens (late usage of November 2026)", 5 * MILLION, Decimal("12.00")),
    ]


def test_usage_that_comes_after_a_commitment_was_asked_for_is_taken_off_it(priced: Person, book: PriceBook) -> None:
    agree(priced, book, new_terms(commitment="100", commitment_months=2))
    publishing.agree(priced.tenant, book, month(NEXT_MONTH, "Europe/Berlin").end)  # No terms from January on.
    closing.close(priced.tenant, MONTH, now=DECEMBER) if add_usage(
        priced.project, NOVEMBER, "output", MILLION
    ) else None
    assert closing.close(priced.tenant, NEXT_MONTH, now=JANUARY).net == Decimal("97.60")
    add_usage(priced.project, NOVEMBER, "output", MILLION)
    january = closing.close(priced.tenant, date(2027, 1, 1), early=True, now=JANUARY)
    assert printed(january) == [
        (f"{LLAMA}, output tokens (late usage of November 2026)", MILLION, Decimal("2.40")),
        ("Commitment not used up (correction of December 2026)", -1, Decimal("-2.40")),
    ]


def test_a_plan_that_follows_an_early_closing_gets_back_what_was_paid_ahead(priced: Person, book: PriceBook) -> None:
    agree(priced, book, new_terms(fee="30.00"))
    early = closing.close(priced.tenant, MONTH, early=True, now=MONTH_START + timedelta(days=5))
    assert early.net == Decimal("30.00")
    publishing.agree(priced.tenant, book, MONTH_START + timedelta(days=10))
    add_usage(priced.project, DECEMBER, "output", 10 * MILLION)
    assert printed(closing.close(priced.tenant, NEXT_MONTH, now=JANUARY)) == [
        (f"{LLAMA}, output tokens", 10 * MILLION, Decimal("24.00")),
        ("Subscription fee: Team (correction of November 2026)", -1, Decimal("-20.00")),
    ]


def test_a_year_that_turns_out_to_have_ended_with_a_closed_month_is_given_back(priced: Person, book: PriceBook) -> None:
    agree(priced, book, new_terms(fee="365.00", fee_months=12))
    assert closing.close(priced.tenant, MONTH, now=DECEMBER).net == Decimal("365.00")
    publishing.agree(priced.tenant, book, month(MONTH, "Europe/Berlin").end)
    december = closing.close(priced.tenant, NEXT_MONTH, now=JANUARY)
    assert printed(december) == [("Subscription fee: Team (correction of November 2026)", -1, Decimal("-335.00"))]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"currency": ""}, "currency"),
        ({"currency": "XXY"}, "currency"),
        ({"fee": Decimal("0.001")}, "fee"),
        ({"fee": Decimal(-1)}, "fee"),
        ({"minimum": Decimal(10), "maximum": Decimal(5)}, "__all__"),
        ({"discount_percent": Decimal(101)}, "discount_percent"),
        ({"fee_months": 5}, "fee_months"),
        ({"commitment_months": 0}, "commitment_months"),
    ],
)
def test_terms_that_nobody_could_keep_are_refused_by_field(db: None, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        PlanTerms(**{"name": "Team", "currency": "USD", **fields}).full_clean()
    assert list(refusal.value.message_dict) == [field]


def test_terms_in_another_currency_than_the_tenants_are_refused(priced: Person, book: PriceBook) -> None:
    with pytest.raises(TermsInAnotherCurrency, match="acme pays in USD, and Team"):
        agree(priced, book, new_terms(currency="EUR"))
    euros = Coupon.objects.create(code="EUR5", name="Five", amount=5, currency="EUR")
    with pytest.raises(TermsInAnotherCurrency):
        agreements.redeem(priced.tenant, euros, MONTH)
    assert not Redemption.objects.exists()


def test_a_coupon_is_redeemed_once_and_not_for_months_that_were_invoiced(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", MILLION)
    closing.close(priced.tenant, MONTH, now=DECEMBER)
    coupon = Coupon.objects.create(code="HALF", name="Half", percent=50)
    with pytest.raises(PastIsInvoiced, match="2026-11 has been invoiced"):
        agreements.redeem(priced.tenant, coupon, MONTH)
    agreements.redeem(priced.tenant, coupon, NEXT_MONTH)
    with pytest.raises(CouponTwice):
        agreements.redeem(priced.tenant, coupon, NEXT_MONTH)


def test_terms_that_a_plan_names_never_change(priced: Person, book: PriceBook) -> None:
    terms = new_terms(fee="49.00")
    included = IncludedUsage.objects.create(terms=terms, unit="output", quantity=1)
    agree(priced, book, terms)
    for deed in (terms.save, terms.delete, included.save, included.delete):
        with pytest.raises(TermsAreAgreed):
            deed()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_planterms SET fee = 1",
        "DELETE FROM billing_includedusage",
        "UPDATE billing_includedusage SET quantity = 2",
        "INSERT INTO billing_includedusage (terms_id, offering, unit, quantity)"
        " SELECT id, '', 'request', 1 FROM billing_planterms",
        "UPDATE billing_coupon SET percent = 100",
        "UPDATE billing_redemption SET first_month = '2030-01-01'",
        "DELETE FROM billing_redemption",
    ],
)
def test_postgres_keeps_what_was_agreed_to_and_invoiced(priced: Person, book: PriceBook, statement: str) -> None:
    terms = new_terms(fee="49.00")
    IncludedUsage.objects.create(terms=terms, unit="output", quantity=1)
    agree(priced, book, terms)
    agreements.redeem(priced.tenant, Coupon.objects.create(code="HALF", name="Half", percent=50), MONTH)
    closing.close(priced.tenant, MONTH, now=DECEMBER)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_the_operator_writes_terms_with_what_they_include(office: Client, db: None) -> None:
    form = {
        "name": "Team",
        "currency": "USD",
        "fee": "49.00",
        "fee_months": "1",
        "included_amount": "0",
        "discount_percent": "0",
        "minimum": "0",
        "commitment": "0",
        "commitment_months": "12",
        "trial_days": "0",
        "included-TOTAL_FORMS": "1",
        "included-INITIAL_FORMS": "0",
        "included-0-offering": "",
        "included-0-unit": "output",
        "included-0-quantity": "1000000",
    }
    assert office.post("/admin/billing/planterms/add/", form).status_code == 302
    terms = PlanTerms.objects.get()
    assert terms.as_agreed().included[0].quantity == MILLION
    assert office.get(f"/admin/billing/planterms/{terms.pk}/change/").status_code == 200
