"""What closing would give now, before it is given."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from billing import closing, wallets
from billing.api import PreviewSerializer
from billing.errors import MonthIsNotOver, NothingToInvoice, UsageIsNotPriced
from billing.models import Invoice, InvoiceLine, InvoiceUsage, Period, WalletCredit
from billing.preview import preview
from billing.turns import turn_of
from metering.models import Bucket
from tenants.models import Project
from tests.billing.samples import DECEMBER, LLAMA, NOVEMBER, OCTOBER_LAST, YEAR, add_usage
from tests.conftest import Person, calling, new_tenant
from tests.metering.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

OCTOBER_FIRST, MONTH, NEXT_MONTH = date(2026, 10, 1), date(2026, 11, 1), date(2026, 12, 1)


def shown(invoice: Invoice) -> dict[str, Any]:
    """All that a tenant reads, but for what only numbering gives."""
    read = PreviewSerializer(invoice).data
    return {name: value for name, value in read.items() if name not in ("status", "usage_until", "closed_early")}


def test_it_is_what_closing_gives_and_leaves_nothing_behind(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    add_usage(priced.project, NOVEMBER, "input_uncached", 18_059_974)
    seen = preview(priced.tenant, MONTH, now=DECEMBER)
    assert not any(table.objects.exists() for table in (Invoice, InvoiceLine, InvoiceUsage, Period))
    assert shown(seen) == shown(closing.close(priced.tenant, MONTH, now=DECEMBER))
    assert shown(preview(priced.tenant, MONTH, now=DECEMBER + timedelta(days=3))) == shown(seen)


def test_it_shows_a_month_that_goes_on(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    assert preview(priced.tenant, MONTH, now=NOVEMBER + timedelta(hours=1)).lines.all()[0].quantity == 1_000_000
    with pytest.raises(MonthIsNotOver):
        preview(priced.tenant, NEXT_MONTH, now=NOVEMBER)


def test_months_that_come_before_count_as_closed(priced: Person) -> None:
    add_usage(priced.project, OCTOBER_LAST - timedelta(days=35), "output", 1_000_000)
    add_usage(priced.project, OCTOBER_LAST, "output", 2_000_000)
    add_usage(priced.project, NOVEMBER, "output", 3_000_000)
    seen = preview(priced.tenant, MONTH, now=DECEMBER)
    assert [(line.month, line.quantity) for line in seen.lines.all()] == [(MONTH, 3_000_000)]


def test_a_draft_that_waits_counts_as_it_would_be_now(priced: Person) -> None:
    bucket = add_usage(priced.project, OCTOBER_LAST, "output", 2_000_000)
    with turn_of(priced.tenant):
        closing.drafted(priced.tenant, OCTOBER_FIRST, now=NOVEMBER)
    add_usage(priced.project, OCTOBER_LAST, "output", 500_000)
    add_usage(priced.project, NOVEMBER, "output", 3_000_000)
    assert [line.quantity for line in preview(priced.tenant, MONTH, now=DECEMBER).lines.all()] == [3_000_000]
    Bucket.objects.filter(pk=bucket.pk).update(quantity=0)
    assert [line.quantity for line in preview(priced.tenant, MONTH, now=DECEMBER).lines.all()] == [3_000_000]
    assert Invoice.objects.get().lines.get().quantity == 2_000_000


def test_credit_that_an_earlier_month_uses_is_used(priced: Person) -> None:
    """A grant of 3.00 and bought credit of 4.00, and 4.80 of output in each of two open months."""
    created = {"created_at": OCTOBER_LAST - timedelta(days=20)}
    wallets.pay_in(WalletCredit(tenant=priced.tenant, amount=3, kind="granted", note="welcome", **created))
    wallets.pay_in(WalletCredit(tenant=priced.tenant, amount=4, note="paid", **created))
    for at in (OCTOBER_LAST, NOVEMBER):
        add_usage(priced.project, at, "output", 2_000_000)
    seen = preview(priced.tenant, MONTH, now=DECEMBER)
    closing.close(priced.tenant, OCTOBER_FIRST, now=DECEMBER)
    assert shown(seen) == shown(closing.close(priced.tenant, MONTH, now=DECEMBER))
    assert (seen.net, seen.prepaid) == (Decimal("4.80"), Decimal("1.86"))  # October used 3.00 and 2.14.


def test_it_is_refused_as_closing_is(priced: Person) -> None:
    with pytest.raises(NothingToInvoice):
        preview(priced.tenant, MONTH, now=DECEMBER)
    add_usage(priced.project, NOVEMBER, "output", 12, offering="unheard-of")
    with pytest.raises(UsageIsNotPriced, match="12 output of unheard-of"):
        preview(priced.tenant, MONTH, now=DECEMBER)


def test_previews_and_a_closing_at_once_agree(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    seen = at_once(
        lambda: shown(preview(priced.tenant, MONTH, now=DECEMBER)),
        lambda: shown(closing.close(priced.tenant, MONTH, now=DECEMBER)),
        lambda: shown(preview(priced.tenant, MONTH, now=DECEMBER)),
    )
    assert seen == [seen[0]] * 3
    assert Invoice.objects.get().number == "TW-2026-000001"


quarters = st.integers(0, 61 * 96 - 1).map(lambda n: datetime(2026, 9, 30, 22, tzinfo=UTC) + timedelta(minutes=15) * n)
units = st.sampled_from(["request", "input_uncached", "input_cached", "output", "reasoning"])
usages = st.lists(st.tuples(quarters, units, st.integers(1, 10**9)), max_size=8)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])  # Each has a tenant of its own.
@given(on_time=usages, late=usages)
def test_a_preview_equals_the_closing_whatever_was_used_when(
    priced: Person, on_time: list[tuple[datetime, str, int]], late: list[tuple[datetime, str, int]]
) -> None:
    """October and November, each previewed and then closed; `late` comes after October was closed."""
    tenant, project = newcomer(priced)
    use(project, on_time)
    assert outcome(preview, tenant, OCTOBER_FIRST) == outcome(closing.close, tenant, OCTOBER_FIRST)
    use(project, late)
    outcome(closing.close, tenant, OCTOBER_FIRST)  # Where only the late usage is October's, it comes first.
    assert outcome(preview, tenant, MONTH) == outcome(closing.close, tenant, MONTH)


def use(project: Project, usage: list[tuple[datetime, str, int]]) -> None:
    for at, unit, quantity in usage:
        add_usage(project, at, unit, quantity)


def newcomer(priced: Person) -> Any:
    project = new_tenant(f"t{Project.objects.count()}", time_zone="Europe/Berlin", tax_rate_percent="19.00").key.project
    project.tenant.plans.create(price_book=priced.tenant.plans.get().price_book, starts_at=YEAR)
    return project.tenant, project


def outcome(deed: Any, *of: Any) -> Any:
    try:
        return shown(deed(*of, now=DECEMBER))
    except NothingToInvoice as refusal:
        return str(refusal)


def read(client: APIClient, **asked: str) -> Any:
    return client.get("/api/invoices/preview/", asked)


def test_a_tenant_previews_its_own_month_and_no_others(priced: Person, mallory: Person) -> None:
    add_usage(priced.project, YEAR, "output", 1_000_000)
    seen = read(calling(priced), tenant="acme", month="2026-01").json()
    assert (seen["gross"], seen["status"], seen["lines"][0]["offering"]) == ("2.86", "draft", LLAMA)
    assert "number" not in seen
    assert read(calling(mallory), tenant="acme", month="2026-01").status_code == 400
    assert read(calling(priced), tenant="acme", month="soon").json()["month"][0].startswith("'soon' is not a month")
    assert read(calling(priced), tenant="acme", month="2026-02").status_code == 409
