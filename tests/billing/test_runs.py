"""A month is closed for all tenants: resumable, each tenant alone, and nothing odd goes out unseen."""

import io
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import OperationalError

from billing import annex, assembly, closing, drafting, finalising, ledger, runs, tasks
from billing.errors import MonthHasNotBegun, NotParked
from billing.models import ClosingItem, ClosingRun, Delivery, Entry, Invoice, InvoiceDocument
from metering.models import Bucket
from tenants.models import Tenant
from tests.billing.samples import DECEMBER, NOVEMBER, OCTOBER_LAST, add_usage
from tests.conftest import Person, new_tenant
from tests.metering.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

MONTH = date(2026, 11, 1)
FEBRUARY = datetime(2026, 2, 3, tzinfo=UTC)
LATER = DECEMBER + timedelta(days=2)  # After the grace of a day.


@pytest.fixture(autouse=True)
def founded_long_ago(priced: Person) -> None:
    Tenant.objects.update(created_at=datetime(2026, 1, 1, tzinfo=UTC))


def another(priced: Person, slug: str, quantity: int = 1_000_000) -> Tenant:
    """One more tenant with prices, and usage in November."""
    project = new_tenant(slug).key.project
    plan = priced.tenant.plans.get()
    project.tenant.plans.create(price_book=plan.price_book, starts_at=plan.starts_at)
    Tenant.objects.filter(pk=project.tenant_id).update(created_at=datetime(2026, 1, 1, tzinfo=UTC))
    if quantity:
        add_usage(project, NOVEMBER, "output", quantity)
    return project.tenant


def closed(now: datetime = LATER, grace_hours: int | None = None) -> ClosingRun:
    run = runs.start(MONTH, now=now, grace_hours=grace_hours)
    runs.work(now=now)
    return run


def item(of: Tenant) -> ClosingItem:
    return ClosingItem.objects.get(tenant=of)


def test_a_run_gives_every_tenant_its_invoice_with_its_document(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    another(priced, "beta")
    another(priced, "idle", quantity=0)
    run = closed()
    assert runs.progress(run) == {"done": 2, "nothing": 1}
    assert set(Invoice.objects.values_list("number", flat=True)) == {"TW-2026-000001", "TW-2026-000002"}
    assert InvoiceDocument.objects.count() == Delivery.objects.count() == Entry.objects.count() == 2
    assert item(priced.tenant).claim is None
    assert runs.work(now=LATER) == 0


def test_a_run_starts_again_with_the_tenants_that_it_lacks(priced: Person) -> None:
    first = runs.start(MONTH, now=LATER, grace_hours=7)
    another(priced, "beta")
    again = runs.start(MONTH, now=LATER, grace_hours=9)
    assert (again.pk, again.grace_hours, again.items.count()) == (first.pk, 7, 2)


def test_a_tenant_that_came_after_the_month_is_not_in_its_run(priced: Person) -> None:
    newcomer = another(priced, "beta", quantity=0)
    Tenant.objects.filter(pk=newcomer.pk).update(created_at=DECEMBER)
    assert runs.start(MONTH, now=LATER).items.get().tenant == priced.tenant


def test_a_month_that_has_not_begun_is_refused(priced: Person) -> None:
    with pytest.raises(MonthHasNotBegun):
        runs.start(date(2027, 11, 1), now=LATER)
    assert not ClosingRun.objects.exists()


def test_a_run_waits_for_midnight_of_each_tenant(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    far_west = another(priced, "west")
    Tenant.objects.filter(pk=far_west.pk).update(time_zone="Pacific/Honolulu")
    run = closed(DECEMBER, grace_hours=0)
    assert runs.progress(run) == {"pending": 1, "done": 1}
    assert item(far_west).due_at == datetime(2026, 12, 1, 10, 0, tzinfo=UTC)
    runs.work(now=datetime(2026, 12, 1, 10, 0, tzinfo=UTC))
    assert runs.progress(run) == {"done": 2}


def test_a_draft_takes_in_what_comes_within_its_grace(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    run = closed(DECEMBER)
    assert runs.progress(run) == {"drafted": 1}
    assert (Invoice.objects.get().status, Invoice.objects.get().gross) == ("draft", Decimal("2.86"))
    add_usage(priced.project, NOVEMBER, "output", 500_000)
    assert runs.work(now=DECEMBER + timedelta(hours=14)) == 0
    assert runs.work(now=DECEMBER + timedelta(hours=15)) == 1  # Midnight of Berlin is at 23:00 UTC.
    assert runs.progress(run) == {"done": 1}
    assert (Invoice.objects.get().status, Invoice.objects.get().gross) == ("final", Decimal("4.28"))


def test_usage_that_is_taken_back_within_the_grace_makes_no_invoice(priced: Person) -> None:
    bucket = add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    run = closed(DECEMBER)
    Bucket.objects.filter(pk=bucket.pk).update(quantity=0)
    runs.work(now=LATER)
    assert runs.progress(run) == {"nothing": 1}
    assert not Invoice.objects.exists()


def test_one_tenants_trouble_parks_that_tenant_with_its_reason(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    add_usage(priced.project, NOVEMBER, "output", 12, offering="unheard-of")
    another(priced, "beta")
    run = closed()
    assert runs.progress(run) == {"done": 1, "parked": 1}
    parked = item(priced.tenant)
    assert (parked.parked_for, parked.claim) == ("refused", None)
    assert "12 output of unheard-of" in parked.reason


def test_what_was_parked_is_tried_again_when_it_was_mended(priced: Person) -> None:
    Tenant.objects.filter(pk=priced.tenant.pk).update(country="")
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    run = closed()
    assert "acme lacks country" in item(priced.tenant).reason
    Tenant.objects.filter(pk=priced.tenant.pk).update(country="DE")
    runs.try_again(item(priced.tenant).pk, now=LATER)
    runs.work(now=LATER)
    assert runs.progress(run) == {"done": 1}
    with pytest.raises(NotParked, match="is Done, and not parked"):
        runs.try_again(item(priced.tenant).pk)


def test_whatever_breaks_parks_one_tenant(priced: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    another(priced, "beta")
    assemble = assembly.assemble

    def broken_for_acme(invoice: Invoice, *given: object) -> None:
        if invoice.tenant_id == priced.tenant.pk:
            raise ZeroDivisionError("division by zero")
        assemble(invoice, *given)  # type: ignore[arg-type]  # Whatever it takes.

    monkeypatch.setattr(assembly, "assemble", broken_for_acme)
    run = closed()
    assert runs.progress(run) == {"done": 1, "parked": 1}
    assert (item(priced.tenant).parked_for, item(priced.tenant).reason) == (
        "failed",
        "ZeroDivisionError: division by zero",
    )


def last_month(priced: Person, quantity: int) -> None:
    add_usage(priced.project, OCTOBER_LAST, "output", quantity)
    closing.close(priced.tenant, date(2026, 10, 1), now=NOVEMBER)


def test_ten_times_the_last_invoice_waits_for_approval(priced: Person, olga: User) -> None:
    last_month(priced, 4_000_000)  # 11.42
    add_usage(priced.project, NOVEMBER, "output", 40_000_000)  # 114.24
    run = closed()
    parked = item(priced.tenant)
    assert (parked.parked_for, parked.reason) == (
        "jump",
        "The invoice is over 114.24 USD, and the last was over 11.42 USD.",
    )
    assert parked.invoice is not None
    assert parked.invoice.status == "draft"
    runs.approve(parked.pk, olga, now=LATER)
    runs.work(now=LATER)
    assert runs.progress(run) == {"done": 1}
    approved = item(priced.tenant)
    assert (approved.approved_by, approved.approved_at, approved.approved_gross) == (olga, LATER, Decimal("114.24"))
    assert Invoice.objects.get(ordinal=2).gross == Decimal("114.24")


def test_an_approval_is_for_the_amount_that_was_seen(priced: Person, olga: User) -> None:
    last_month(priced, 4_000_000)
    add_usage(priced.project, NOVEMBER, "output", 40_000_000)
    run = closed()
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    runs.approve(item(priced.tenant).pk, olga, now=LATER)
    runs.work(now=LATER)
    assert runs.progress(run) == {"parked": 1}
    assert "over 117.1 USD" in item(priced.tenant).reason


def test_corrections_that_outweigh_a_month_wait_for_approval(priced: Person, olga: User) -> None:
    last_month(priced, 4_000_000)
    Bucket.objects.filter(start=OCTOBER_LAST).update(quantity=1_000_000)
    run = closed()
    assert item(priced.tenant).parked_for == "negative"
    runs.approve(item(priced.tenant).pk, olga, now=LATER)
    runs.work(now=LATER)
    assert runs.progress(run) == {"done": 1}
    assert Invoice.objects.get(ordinal=2).gross == Decimal("-8.57")


def test_a_month_without_usage_after_one_with_waits_for_approval(priced: Person, olga: User) -> None:
    last_month(priced, 4_000_000)
    run = closed()
    assert item(priced.tenant).parked_for == "empty"
    assert "acme has no usage left" in item(priced.tenant).reason
    runs.approve(item(priced.tenant).pk, olga, now=LATER)
    runs.work(now=LATER)
    assert runs.progress(run) == {"nothing": 1}


def test_a_tenant_that_was_idle_for_longer_is_left_out_in_silence(priced: Person) -> None:
    add_usage(priced.project, OCTOBER_LAST - timedelta(days=40), "output", 4_000_000)
    closing.close(priced.tenant, date(2026, 9, 1), now=NOVEMBER)
    assert runs.progress(closed()) == {"nothing": 1}


def test_what_was_refused_is_not_approved(priced: Person, olga: User) -> None:
    Tenant.objects.filter(pk=priced.tenant.pk).update(country="")
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    closed()
    with pytest.raises(NotParked, match="nothing is there to approve"):
        runs.approve(item(priced.tenant).pk, olga)


class Killed(BaseException):
    """The process ends here: nothing may catch it."""


DRAFTING = [(drafting, "_new_invoice"), (annex, "cover_due_usage"), (assembly, "assemble"), (closing, "draft")]
FINALISING = [(runs, "finalise"), (finalising, "_queue"), (finalising, "_number"), (ledger, "book_invoice")]
RUNNING = [(runs, "claim"), (closing, "drafted"), (runs, "_judge"), (runs, "_move"), (runs, "document_of")]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("module", "step"), [*DRAFTING, *FINALISING, *RUNNING])
def test_a_run_that_is_killed_at_any_step_is_taken_up_when_the_claim_expires(
    priced: Person, monkeypatch: pytest.MonkeyPatch, module: object, step: str, after: bool
) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    deed = getattr(module, step)

    def killed(*given: object, **named: object) -> None:
        if after:
            deed(*given, **named)
        raise Killed

    run = runs.start(MONTH, now=LATER)
    with monkeypatch.context() as patch:
        patch.setattr(module, step, killed)
        with pytest.raises(Killed):
            runs.work(now=LATER)
    runs.work(now=LATER + timedelta(minutes=4))
    runs.work(now=LATER + timedelta(minutes=5))
    assert runs.progress(run) == {"done": 1}
    assert (Invoice.objects.get().number, Invoice.objects.get().gross) == ("TW-2026-000001", Decimal("2.86"))
    assert InvoiceDocument.objects.count() == Delivery.objects.count() == Entry.objects.count() == 1


def test_an_item_that_kills_its_workers_is_parked(priced: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    run = runs.start(MONTH, now=LATER)
    at = LATER
    with monkeypatch.context() as patch:
        patch.setattr(closing, "drafted", dies)
        for _ in range(runs.CLAIMS_MAX):
            with pytest.raises(Killed):
                runs.work(now=at)
            at += runs.CLAIM_EXPIRES_AFTER
        runs.work(now=at)
    assert runs.progress(run) == {"parked": 1}
    assert "begun 5 times" in item(priced.tenant).reason


def dies(*_: object, **__: object) -> None:
    raise Killed


def test_trouble_of_the_database_is_not_the_tenants(priced: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    run = runs.start(MONTH, now=LATER)

    def away(*_: object, **__: object) -> None:
        raise OperationalError("the server is away")

    with monkeypatch.context() as patch:
        patch.setattr(closing, "drafted", away)
        with pytest.raises(OperationalError):
            runs.work(now=LATER)
    assert runs.progress(run) == {"pending": 1}
    runs.work(now=LATER + runs.CLAIM_EXPIRES_AFTER)
    assert runs.progress(run) == {"done": 1}


def test_a_worker_whose_claim_expired_leaves_the_item_to_the_other(
    priced: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    run = runs.start(MONTH, now=LATER)
    slow = runs.claim(LATER)
    assert slow is not None
    runs.work(now=LATER + runs.CLAIM_EXPIRES_AFTER)
    assert runs.progress(run) == {"done": 1}
    waiting = [slow]
    monkeypatch.setattr(runs, "claim", lambda *_: waiting.pop() if waiting else None)
    runs.work(now=LATER)
    assert runs.progress(run) == {"done": 1}
    assert Invoice.objects.get().number == "TW-2026-000001"


def test_workers_at_once_give_one_invoice_each(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    for number in range(7):
        another(priced, f"t{number}")
    run = runs.start(MONTH, now=LATER)
    at_once(*[lambda: runs.work(now=LATER)] * 4)
    assert runs.progress(run) == {"done": 8}
    assert set(Invoice.objects.values_list("number", flat=True)) == {f"TW-2026-{n:06d}" for n in range(1, 9)}


def test_a_run_and_a_closing_by_hand_at_once_give_one_invoice(priced: Person) -> None:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    run = runs.start(MONTH, now=LATER)
    deeds: list[Callable[[], object]] = [
        lambda: runs.work(now=LATER),
        lambda: closing.close(priced.tenant, MONTH, now=LATER),
        lambda: runs.start(MONTH, now=LATER),
    ]
    at_once(*deeds)
    assert runs.progress(run) == {"done": 1}
    assert Invoice.objects.get().number == "TW-2026-000001"


def test_a_worker_of_celery_works_what_is_due(priced: Person) -> None:
    add_usage(priced.project, FEBRUARY, "output", 1_000_000)
    run = runs.start(date(2026, 2, 1))
    assert runs.due(5) == 1
    tasks.work_closings()
    assert runs.progress(run) == {"done": 1}
    assert runs.due(5) == 0
    tasks.start_closers()


def close(*options: str) -> str:
    printed = io.StringIO()
    call_command("close", *options, stdout=printed)
    return printed.getvalue()


def test_the_command_closes_a_month_for_all(priced: Person) -> None:
    add_usage(priced.project, FEBRUARY, "output", 1_000_000)
    assert close("--all", "2026-02") == "2026-02: 1 done\n"
    assert Invoice.objects.get().number is not None


def test_the_command_names_who_is_parked_and_why(priced: Person) -> None:
    add_usage(priced.project, FEBRUARY, "output", 1_000_000, offering="unheard-of")
    with pytest.raises(CommandError, match=r"2026-02: 1 parked\n  acme: refused: .* of unheard-of"):
        close("--all", "2026-02")


@pytest.mark.parametrize("options", [(), ("--tenant", "acme"), ("--all", "2026-02", "--tenant", "acme")])
def test_the_command_closes_one_tenant_or_all(priced: Person, options: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="--all"):
        close(*options)
