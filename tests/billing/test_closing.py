"""A month becomes one invoice, with every token once."""

import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from billing import annex, assembly, closing, drafting, due, finalising, ledger, turns
from billing.errors import (
    BuyerIsIncomplete,
    ClosingRefused,
    CurrencyIsNotTheTenants,
    DraftIsOpen,
    EarlierMonthIsOpen,
    MonthIsNotOver,
    NothingToInvoice,
    SellerIsUnclear,
    TooManyClosings,
    UsageIsNotFolded,
    UsageIsNotPriced,
)
from billing.models import (
    Delivery,
    Entry,
    Invoice,
    InvoiceCounter,
    InvoiceLine,
    InvoiceUsage,
    Period,
    Posting,
    Seller,
)
from billing.turns import turn_of
from metering.models import Backfill, Batch, Bucket
from tenants.models import Project, Tenant
from tests.billing.samples import DECEMBER, LLAMA, NOVEMBER, OCTOBER_LAST, add_usage
from tests.conftest import Person
from tests.metering.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

MONTH = date(2026, 11, 1)
NEXT_MONTH = date(2026, 12, 1)
JANUARY = datetime(2027, 1, 1, 8, 0, tzinfo=UTC)


def printed(invoice: Invoice) -> list[tuple[str, int, Decimal]]:
    return [(line.description, line.quantity, line.amount) for line in invoice.lines.all()]


def nothing_is_left() -> bool:
    tables = (Invoice, InvoiceLine, InvoiceUsage, Period, InvoiceCounter, Delivery, Entry, Posting)
    return not any(table.objects.exists() for table in tables)


def invoiced() -> Counter[str]:
    """Quantities by unit over the lines of all invoices."""
    found: Counter[str] = Counter()
    for line in InvoiceLine.objects.all():
        found[line.unit] += line.quantity
    return found


def test_the_lines_say_what_was_used_and_what_it_costs(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "request", 8_819)
    add_usage(priced.project, NOVEMBER, "input_uncached", 18_059_974)
    add_usage(priced.project, NOVEMBER, "output", 245_896)
    invoice = closing.close(priced.tenant, MONTH, now=DECEMBER)
    assert printed(invoice) == [
        (f"{LLAMA}, requests", 8_819, Decimal("0")),
        (f"{LLAMA}, input tokens", 18_059_974, Decimal("10.84")),  # 10.8359844
        (f"{LLAMA}, output tokens", 245_896, Decimal("0.59")),  # 0.5901504
    ]
    assert (invoice.net, invoice.tax, invoice.gross) == (Decimal("11.43"), Decimal("2.17"), Decimal("13.60"))
    assert (invoice.number, invoice.issued_on, invoice.due_on) == (
        "TW-2026-000001",
        date(2026, 12, 1),
        date(2026, 12, 15),
    )


def test_an_invoice_copies_both_parties_whole(priced: Person, seller: Seller) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1)
    invoice = closing.close(priced.tenant, MONTH, now=DECEMBER)
    Tenant.objects.filter(pk=priced.tenant.pk).update(legal_name="Acme SE", tax_rate_percent=7)
    Seller.objects.update(legal_name="Somebody Else Ltd", payment_terms_days=90)
    again = Invoice.objects.get(pk=invoice.pk)
    assert again.buyer["legal_name"] == "Acme GmbH"
    assert again.seller["legal_name"] == seller.legal_name
    assert (again.taxes.get().rate_percent, again.due_on) == (Decimal("19.00"), date(2026, 12, 15))


def test_usage_of_keys_and_deployments_is_summed_into_one_line(priced: Person) -> None:
    for key in (1, 2):
        for deployment in ("llama-h100", "llama-h200"):
            add_usage(priced.project, NOVEMBER, "output", 1_000, api_key_id=key, deployment=deployment)
    invoice = closing.close(priced.tenant, MONTH, now=DECEMBER)
    assert printed(invoice) == [(f"{LLAMA}, output tokens", 4_000, Decimal("0.01"))]
    assert InvoiceUsage.objects.count() == 4


def test_what_is_not_billed_is_not_invoiced(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    add_usage(priced.project, NOVEMBER, "output", 5_000_000, billed=False)
    assert closing.close(priced.tenant, MONTH, now=DECEMBER).lines.get().quantity == 1_000_000


def test_another_tenants_usage_is_not_invoiced(priced: Person, mallory: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    add_usage(mallory.project, NOVEMBER, "output", 5_000_000)
    assert closing.close(priced.tenant, MONTH, now=DECEMBER).lines.get().quantity == 1_000_000


def test_the_month_ends_at_midnight_of_the_tenant(priced: Person) -> None:
    last, following = datetime(2026, 11, 30, 22, 45, tzinfo=UTC), datetime(2026, 11, 30, 23, 0, tzinfo=UTC)
    add_usage(priced.project, last, "output", 1_000_000)
    add_usage(priced.project, following, "output", 7_000_000)
    invoice = closing.close(priced.tenant, MONTH, now=DECEMBER)
    assert invoice.lines.get().quantity == 1_000_000
    assert invoice.period.end == following


def test_closing_again_returns_the_same_invoice(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    first = closing.close(priced.tenant, MONTH, now=DECEMBER)
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    again = closing.close(priced.tenant, MONTH, now=DECEMBER + timedelta(days=3))
    assert (again.pk, again.number, again.gross) == (first.pk, first.number, first.gross)
    assert Invoice.objects.count() == 1


def test_late_usage_is_a_correction_on_the_next_invoice_and_is_invoiced_once(priced: Person) -> None:
    add_usage(priced.project, OCTOBER_LAST, "output", 1_000_000)
    closing.close(priced.tenant, date(2026, 10, 1), now=NOVEMBER)
    add_usage(priced.project, OCTOBER_LAST, "output", 250_000)  # Into the same bucket, after it was invoiced.
    add_usage(priced.project, NOVEMBER, "output", 2_000_000)
    november = closing.close(priced.tenant, MONTH, now=DECEMBER)
    assert printed(november) == [
        (f"{LLAMA}, output tokens", 2_000_000, Decimal("4.80")),
        (f"{LLAMA}, output tokens (late usage of October 2026)", 250_000, Decimal("0.60")),
    ]
    assert [line.is_correction for line in november.lines.all()] == [False, True]
    assert invoiced() == {"output": 3_250_000}


def test_what_is_used_after_an_early_closing_comes_on_the_next_invoice(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    early = closing.close(priced.tenant, MONTH, early=True, now=NOVEMBER + timedelta(minutes=5))
    assert (early.closed_early, early.usage_until) == (True, NOVEMBER + timedelta(minutes=5))
    add_usage(priced.project, NOVEMBER, "output", 500_000)
    add_usage(priced.project, NOVEMBER + timedelta(days=1), "output", 500_000)
    december = closing.close(priced.tenant, NEXT_MONTH, now=JANUARY)
    assert printed(december) == [(f"{LLAMA}, output tokens (late usage of November 2026)", 1_000_000, Decimal("2.40"))]


def test_a_month_that_has_not_ended_is_not_closed(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    with pytest.raises(MonthIsNotOver, match="2026-11 ends at 2026-11-30 23:00 UTC in Europe/Berlin"):
        closing.close(priced.tenant, MONTH, now=datetime(2026, 11, 30, 22, 59, tzinfo=UTC))
    with pytest.raises(MonthIsNotOver):
        closing.close(priced.tenant, NEXT_MONTH, early=True, now=NOVEMBER)
    assert nothing_is_left()


def test_usage_without_a_price_blocks_the_invoice_and_is_named(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    add_usage(priced.project, NOVEMBER, "output", 12, offering="unheard-of")
    add_usage(priced.project, NOVEMBER, "cache_write_5m", 7)
    with pytest.raises(UsageIsNotPriced) as refusal:
        closing.close(priced.tenant, MONTH, now=DECEMBER)
    assert f"7 cache_write_5m of {LLAMA} from 2026-11-10 09:15 UTC on" in str(refusal.value)
    assert "12 output of unheard-of from 2026-11-10 09:15 UTC on" in str(refusal.value)
    assert nothing_is_left()


def test_a_tier_of_service_without_a_price_of_its_own_is_not_billed_at_the_standard_price(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    add_usage(priced.project, NOVEMBER, "output", 12, service_tier="batch")
    with pytest.raises(UsageIsNotPriced, match=rf"12 output of {LLAMA} \(batch\)"):
        closing.close(priced.tenant, MONTH, now=DECEMBER)
    assert nothing_is_left()


def test_each_grade_of_an_offering_has_a_line_of_its_own_at_the_price_of_any(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    add_usage(priced.project, NOVEMBER, "output", 500_000, grade="grounded")
    lines = closing.close(priced.tenant, MONTH, now=DECEMBER).lines.values_list("grade", "quantity", "unit_amount")
    assert list(lines) == [("", 1_000_000, Decimal("2.4")), ("grounded", 500_000, Decimal("2.4"))]


def test_a_backfill_that_is_not_committed_blocks_no_invoice(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    backfill = Backfill.objects.create(tenant_id=priced.tenant.pk, name="october", created_at=timezone.now())
    Batch.objects.create(
        kind=Batch.Kind.INGEST, backfill=backfill, held=True, events=1, duplicates=0, committed_at=timezone.now()
    )
    assert closing.close(priced.tenant, MONTH, now=DECEMBER).number == "TW-2026-000001"


def test_a_tenant_without_a_plan_is_not_served_for_nothing(alice: Person, seller: Seller) -> None:
    add_usage(alice.project, NOVEMBER, "output", 5)
    with pytest.raises(UsageIsNotPriced, match="5 output"):
        closing.close(alice.tenant, MONTH, now=DECEMBER)


def test_usage_that_is_not_folded_yet_blocks_the_invoice(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    batch = Batch.objects.create(
        journal_id=uuid.uuid4(),
        journal_name="gateway-1",
        first=1,
        last=2,
        last_checksum=0,
        events=1,
        duplicates=0,
        committed_at=timezone.now(),
    )
    with pytest.raises(UsageIsNotFolded, match="not in the buckets yet: 1"):
        closing.close(priced.tenant, MONTH, now=DECEMBER)
    assert nothing_is_left()
    Batch.objects.filter(pk=batch.pk).update(folded_at=timezone.now())
    assert closing.close(priced.tenant, MONTH, now=DECEMBER).number == "TW-2026-000001"


def kept_draft(tenant: Tenant, month: date, now: datetime) -> Invoice:
    """What a closing leaves that is killed before it numbers its draft."""
    with turn_of(tenant):
        return closing.drafted(tenant, month, now=now)


def test_usage_that_comes_while_a_draft_waits_is_taken_in(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    first = kept_draft(priced.tenant, MONTH, DECEMBER)
    add_usage(priced.project, NOVEMBER, "output", 500_000)
    later = DECEMBER + timedelta(hours=5)
    invoice = closing.close(priced.tenant, MONTH, now=later)
    assert (first.gross, invoice.gross, invoice.period.cutoff) == (Decimal("2.86"), Decimal("4.28"), later)
    assert invoiced() == {"output": 1_500_000}
    assert Invoice.objects.count() == Period.objects.count() == 1


def test_a_draft_whose_usage_was_taken_back_is_kept_no_longer(priced: Person) -> None:
    bucket = add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    kept_draft(priced.tenant, MONTH, DECEMBER)
    bucket.quantity = 0
    bucket.save()
    with pytest.raises(NothingToInvoice):
        closing.close(priced.tenant, MONTH, now=DECEMBER)
    assert nothing_is_left()


def test_a_month_is_not_closed_before_the_draft_of_an_earlier_one(priced: Person) -> None:
    add_usage(priced.project, OCTOBER_LAST, "output", 1_000_000)
    add_usage(priced.project, NOVEMBER, "output", 2_000_000)
    kept_draft(priced.tenant, date(2026, 10, 1), DECEMBER)
    with pytest.raises(DraftIsOpen, match="acme has a draft of 2026-10"):
        closing.close(priced.tenant, MONTH, now=DECEMBER)
    assert closing.close(priced.tenant, date(2026, 10, 1), now=DECEMBER).number == "TW-2026-000001"
    assert closing.close(priced.tenant, MONTH, now=DECEMBER).number == "TW-2026-000002"


def test_a_closing_does_not_wait_for_ever_behind_another(priced: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_TIMEOUT_S", 0.05)

    def closing_meanwhile() -> None:
        with pytest.raises(TooManyClosings):
            closing.close(priced.tenant, MONTH, now=DECEMBER)

    with turn_of(priced.tenant):
        at_once(closing_meanwhile)


def test_a_month_without_usage_makes_no_invoice(priced: Person) -> None:
    with pytest.raises(NothingToInvoice, match="acme has no usage left"):
        closing.close(priced.tenant, MONTH, now=DECEMBER)
    assert nothing_is_left()


def test_an_invoice_wants_one_seller(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1)
    Seller.objects.all().delete()
    with pytest.raises(SellerIsUnclear):
        closing.close(priced.tenant, MONTH, now=DECEMBER)
    assert nothing_is_left()


def test_an_invoice_wants_the_buyers_address(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1)
    Tenant.objects.filter(pk=priced.tenant.pk).update(address_lines=" ", country="")
    with pytest.raises(BuyerIsIncomplete, match="acme lacks address_lines, country"):
        closing.close(Tenant.objects.get(pk=priced.tenant.pk), MONTH, now=DECEMBER)
    assert nothing_is_left()


def test_prices_in_another_currency_than_the_tenants_block_the_invoice(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1)
    Tenant.objects.filter(pk=priced.tenant.pk).update(currency="EUR")
    with pytest.raises(CurrencyIsNotTheTenants, match="priced in USD, and acme pays in EUR"):
        closing.close(Tenant.objects.get(pk=priced.tenant.pk), MONTH, now=DECEMBER)
    assert nothing_is_left()


def test_months_are_closed_in_their_order(priced: Person) -> None:
    add_usage(priced.project, OCTOBER_LAST, "output", 1_000_000)
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    with pytest.raises(EarlierMonthIsOpen, match="usage of 2026-10, which was never closed"):
        closing.close(priced.tenant, MONTH, now=DECEMBER)
    assert nothing_is_left()
    closing.close(priced.tenant, date(2026, 10, 1), now=DECEMBER)
    assert closing.close(priced.tenant, MONTH, now=DECEMBER).lines.get().quantity == 1_000_000


def test_a_bucket_that_turns_out_smaller_is_credited(priced: Person) -> None:
    bucket = add_usage(priced.project, OCTOBER_LAST, "output", 1_000_000)
    closing.close(priced.tenant, date(2026, 10, 1), now=NOVEMBER)
    bucket.quantity = 400_000
    bucket.save()
    add_usage(priced.project, NOVEMBER, "output", 2_000_000)
    november = closing.close(priced.tenant, MONTH, now=DECEMBER)
    assert printed(november)[-1] == (
        f"{LLAMA}, output tokens (late usage of October 2026)",
        -600_000,
        Decimal("-1.44"),
    )
    assert november.net == Decimal("3.36")


class Killed(BaseException):
    """The process ends here: nothing may catch it."""


DRAFTING = [(drafting, "_new_invoice"), (annex, "cover_due_usage"), (assembly, "assemble"), (due, "charges_due")]
FINALISING = [(closing, "finalise"), (finalising, "_queue"), (finalising, "_number"), (finalising, "next_number")]
BOOKING = [(ledger, "book_invoice"), (ledger, "_book")]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("module", "step"), [*DRAFTING, *FINALISING, *BOOKING])
def test_a_closing_that_is_killed_at_any_step_is_taken_up(
    priced: Person, monkeypatch: pytest.MonkeyPatch, module: object, step: str, after: bool
) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    deed = getattr(module, step)

    def killed(*given: object, **named: object) -> None:
        if after:
            deed(*given, **named)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, step, killed)
        with pytest.raises(Killed):
            closing.close(priced.tenant, MONTH, now=DECEMBER)

    assert nothing_is_left() if (module, step) in DRAFTING else Invoice.objects.get().gross == Decimal("2.86")
    invoice = closing.close(priced.tenant, MONTH, now=DECEMBER)
    assert (invoice.number, invoice.status, invoice.gross) == ("TW-2026-000001", "final", Decimal("2.86"))
    assert invoiced() == {"output": 1_000_000}
    assert Delivery.objects.count() == Invoice.objects.count() == Entry.objects.count() == 1


def outcome(tenant: Tenant, month: date) -> Callable[[], Invoice | ClosingRefused]:
    """A closing whose refusal is a result like any other."""

    def close() -> Invoice | ClosingRefused:
        try:
            return closing.close(tenant, month, now=DECEMBER)
        except ClosingRefused as refusal:
            return refusal

    return close


def test_two_closings_at_once_give_one_invoice(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    invoices = at_once(*[outcome(priced.tenant, MONTH)] * 4)
    assert {getattr(invoice, "number", invoice) for invoice in invoices} == {"TW-2026-000001"}
    assert Invoice.objects.count() == 1
    assert invoiced() == {"output": 1_000_000}


def test_two_months_closed_at_once_invoice_each_token_once(priced: Person) -> None:
    for number in range(20):
        add_usage(priced.project, OCTOBER_LAST - timedelta(hours=number), "output", 1_000_000)
        add_usage(priced.project, NOVEMBER - timedelta(hours=number), "output", 1_000_000)
    months = [date(2026, 10, 1), MONTH]
    results = at_once(*(outcome(priced.tenant, month) for month in months))
    assert all(isinstance(result, (Invoice, EarlierMonthIsOpen)) for result in results), results
    for month in months:
        closing.close(priced.tenant, month, now=DECEMBER)
    assert invoiced() == {"output": 40_000_000}


def test_numbers_have_no_gap_when_many_tenants_are_closed_at_once(priced: Person, mallory: Person) -> None:
    tenants = [priced.tenant]
    plan = priced.tenant.plans.get()
    for number in range(7):
        tenant = Tenant.objects.get(pk=mallory.tenant.pk)
        tenant.pk, tenant.slug = None, f"t{number}"
        tenant.save()
        tenant.plans.create(price_book=plan.price_book, starts_at=plan.starts_at)
        Project.objects.create(tenant=tenant, slug="default", name="Default")
        tenants.append(tenant)
    for tenant in tenants[:-1]:
        add_usage(tenant.projects.get(), NOVEMBER, "output", 1_000_000)
    results = at_once(*(outcome(tenant, MONTH) for tenant in tenants))
    assert set(Invoice.objects.values_list("number", flat=True)) == {f"TW-2026-{n:06d}" for n in range(1, 8)}
    assert [result for result in results if isinstance(result, ClosingRefused)] == [results[-1]]


def test_numbers_begin_anew_with_the_year_of_issue(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    closing.close(priced.tenant, MONTH, now=DECEMBER)
    add_usage(priced.project, DECEMBER, "output", 1_000_000)
    new_year_in_berlin = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    assert closing.close(priced.tenant, NEXT_MONTH, now=new_year_in_berlin).number == "TW-2027-000001"


def test_an_invoice_is_the_sum_of_its_days(priced: Person) -> None:
    """Usage in every quarter of an hour of a month with a clock change: each is invoiced in that month, once."""
    start, end = datetime(2026, 9, 30, 22, 0, tzinfo=UTC), datetime(2026, 10, 31, 23, 0, tzinfo=UTC)
    quarters = [start + timedelta(minutes=15) * n for n in range(int((end - start) / timedelta(minutes=15)))]
    assert len(quarters) == 31 * 96 + 4
    fields = {"tenant_id": priced.tenant.pk, "project_id": priced.project.pk, "api_key_id": 1, "billed": True}
    named = {"offering": LLAMA, "deployment": "d", "unit": "output", "quantity": 3, "updated_at": end}
    Bucket.objects.bulk_create(Bucket(start=at, **fields, **named) for at in [*quarters, end, start - timedelta(1)])
    closing.close(priced.tenant, date(2026, 9, 1), now=DECEMBER)
    october = closing.close(priced.tenant, date(2026, 10, 1), now=DECEMBER)
    line = october.lines.get()
    assert (line.quantity, line.service_start, line.service_end) == (3 * len(quarters), start, end)
