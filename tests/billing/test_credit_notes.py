"""A credit note takes back what an invoice asked for, and never more."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from rest_framework.test import APIClient

from billing import closing, credit_notes, finalising, ledger, ledger_check
from billing.balances import balances, open_amount
from billing.bookings import Account
from billing.errors import (
    CreditOverInvoice,
    CreditOverLine,
    CreditRefused,
    CreditTwice,
    CreditWithoutReason,
    NotAnInvoice,
    NothingLeftToCredit,
)
from billing.models import Delivery, Entry, Invoice, InvoiceLine
from money.amount import Money
from tests.billing.samples import DECEMBER, NOVEMBER, OCTOBER_LAST, add_usage
from tests.conftest import Person, calling
from tests.metering.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

MONTH = date(2026, 11, 1)


@pytest.fixture
def invoice(priced: Person) -> Invoice:
    """Lines of 0.00, 10.84 and 0.59, and 19 % on 11.43: 13.60."""
    add_usage(priced.project, NOVEMBER, "request", 8_819)
    add_usage(priced.project, NOVEMBER, "input_uncached", 18_059_974)
    add_usage(priced.project, NOVEMBER, "output", 245_896)
    return closing.close(priced.tenant, MONTH, now=DECEMBER)


def give(invoice: Invoice, reason: str = "An outage", **amounts: str) -> Invoice:
    """A note over lines that are named as `line_2`; over all that is left where none is."""
    given = {int(name.removeprefix("line_")): Decimal(amount) for name, amount in amounts.items()}
    return credit_notes.give(invoice.pk, given or None, reason, now=DECEMBER)


def dollars(amount: str) -> Money:
    return Money.of(amount, "USD")


def test_it_takes_back_a_part_of_a_line_with_its_tax(invoice: Invoice) -> None:
    note = give(invoice, line_2="5.00")
    assert (note.number, note.net, note.tax, note.gross) == (
        "TW-CN-2026-000001",
        Decimal("5.00"),
        Decimal("0.95"),
        Decimal("5.95"),
    )
    line = note.lines.get()
    assert (line.kind, line.corrects, line.amount) == ("credit", invoice.lines.get(position=2), Decimal("5.00"))
    assert line.description == "Line 2 of TW-2026-000001: llama-3.3-70b, input tokens"
    assert open_amount(invoice) == dollars("7.65")
    assert ledger_check.check() == {}


def test_it_takes_back_all_that_is_left_to_the_last_cent_and_pico(invoice: Invoice) -> None:
    give(invoice, line_2="3.33")
    give(invoice, line_2="3.33", line_3="0.11", reason="Another outage")
    rest = give(invoice)
    assert (rest.gross, open_amount(invoice)) == (Decimal("5.55"), dollars("0"))
    assert {balance.account: balance.amount for balance in balances()} == {
        account: dollars("0") for account in (Account.RECEIVABLE, Account.REVENUE, Account.ROUNDING, Account.TAX)
    }
    assert ledger_check.check() == {}
    with pytest.raises(NothingLeftToCredit):
        give(invoice, reason="Once more")


def test_it_has_a_series_of_its_own_and_is_delivered(invoice: Invoice) -> None:
    first, second = give(invoice, line_2="1"), give(invoice, line_2="2")
    assert [note.number for note in (first, second)] == ["TW-CN-2026-000001", "TW-CN-2026-000002"]
    assert (first.issued_on, first.due_on, first.status) == (date(2026, 12, 1), date(2026, 12, 1), "final")
    assert set(Delivery.objects.values_list("invoice", flat=True)) == {invoice.pk, first.pk, second.pk}


@pytest.mark.parametrize(
    ("amounts", "refusal"),
    [
        ({"line_2": "10.85"}, CreditOverLine),
        ({"line_2": "0"}, CreditOverLine),
        ({"line_2": "-1"}, CreditOverLine),
        ({"line_2": "0.001"}, CreditOverLine),
        ({"line_1": "1"}, CreditOverLine),
        ({"line_4": "1"}, CreditOverLine),
    ],
)
def test_more_than_a_line_holds_is_refused(
    invoice: Invoice, amounts: dict[str, str], refusal: type[CreditRefused]
) -> None:
    with pytest.raises(refusal):
        give(invoice, **amounts)
    assert Invoice.objects.count() == 1


def test_what_was_taken_back_is_not_taken_again(invoice: Invoice) -> None:
    give(invoice, line_2="10.00")
    with pytest.raises(CreditOverLine, match=r"0.84 USD of line 2 is left, and 0.85 USD was asked for"):
        give(invoice, line_2="0.85")
    with pytest.raises(CreditTwice):
        credit_notes.give(give(invoice, line_2="0.40").corrects_id or 0, {2: Decimal("0.40")}, "An outage ")


def test_lines_do_not_come_to_more_than_the_whole_invoice(priced: Person) -> None:
    """A correction below zero makes the invoice less than its other lines."""
    bucket = add_usage(priced.project, OCTOBER_LAST, "output", 1_000_000)
    closing.close(priced.tenant, date(2026, 10, 1), now=NOVEMBER)
    bucket.quantity = 400_000
    bucket.save()
    add_usage(priced.project, NOVEMBER, "output", 2_000_000)
    invoice = closing.close(priced.tenant, MONTH, now=DECEMBER)
    assert [line.amount for line in invoice.lines.all()] == [Decimal("4.80"), Decimal("-1.44")]
    with pytest.raises(CreditOverInvoice, match=r"4 USD of TW-2026-000002 is left, and the lines come to 4.46 USD"):
        give(invoice, line_1="3.82")
    assert give(invoice).gross == invoice.gross
    assert ledger_check.check() == {}


def test_it_wants_a_reason_and_a_final_invoice(invoice: Invoice) -> None:
    for reason in (" ", "x" * 301):
        with pytest.raises(CreditWithoutReason):
            give(invoice, reason=reason)
    with pytest.raises(NotAnInvoice):
        give(give(invoice, line_2="1"))


def test_notes_at_once_take_back_no_more_than_there_is(invoice: Invoice) -> None:
    def take(number: int) -> Callable[[], str]:
        def deed() -> str:
            try:
                return give(invoice, line_2="4.00", reason=f"Outage {number}").number or ""
            except CreditOverLine:
                return "refused"

        return deed

    given = at_once(*(take(number) for number in range(4)))
    assert sorted(map(str, given)) == ["TW-CN-2026-000001", "TW-CN-2026-000002", "refused", "refused"]
    assert ledger_check.check() == {}


class Killed(BaseException):
    """The process ends here: nothing may catch it."""


STEPS = [(credit_notes, "_note"), (credit_notes, "finalise_credit_note"), (finalising, "_queue")]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("module", "step"), [*STEPS, (finalising, "_number"), (ledger, "book_credit_note")])
def test_a_note_that_is_killed_at_any_step_leaves_nothing(
    invoice: Invoice, monkeypatch: pytest.MonkeyPatch, module: object, step: str, after: bool
) -> None:
    deed = getattr(module, step)

    def killed(*given: object, **named: object) -> None:
        if after:
            deed(*given, **named)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, step, killed)
        with pytest.raises(Killed):
            give(invoice, line_2="1")
    assert Invoice.objects.count() == Entry.objects.count() == Delivery.objects.count() == 1
    assert give(invoice, line_2="1").number == "TW-CN-2026-000001"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE billing_invoiceline SET amount = 10.85 WHERE kind = 'credit'",
        "UPDATE billing_invoiceline SET amount = -1 WHERE kind = 'credit'",
        "UPDATE billing_invoice SET gross = gross + 100, net = net + 100 WHERE kind = 'credit_note'",
        "UPDATE billing_invoice SET currency = 'EUR' WHERE kind = 'credit_note'",
        "UPDATE billing_invoice SET corrects_id = id WHERE kind = 'credit_note'",
    ],
)
def test_postgres_refuses_a_note_over_more_than_there_is(
    invoice: Invoice, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    queue = finalising._queue

    def changed(*given: Any) -> None:
        queue(*given)
        with connection.cursor() as cursor:
            cursor.execute(change)

    monkeypatch.setattr(finalising, "_queue", changed)
    with pytest.raises(IntegrityError, match="credit note"), transaction.atomic():
        give(invoice, line_2="1.00")


@pytest.mark.parametrize("change", ["UPDATE billing_invoice SET reason = 'none'", "DELETE FROM billing_invoiceline"])
def test_a_note_never_changes(invoice: Invoice, change: str) -> None:
    note = give(invoice, line_2="1.00")
    with pytest.raises(IntegrityError, match="never change"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)
    assert InvoiceLine.objects.filter(invoice=note).exists()


def ask(client: APIClient, **given: Any) -> Any:
    return client.post("/api/credit-notes/", given, format="json")


def test_staff_give_notes_and_their_tenant_reads_them(priced: Person, invoice: Invoice, staff: APIClient) -> None:
    lines = [{"position": 2, "amount": "5.00"}]
    note = ask(staff, invoice=invoice.pk, reason="An outage", lines=lines).json()
    assert (note["kind"], note["corrects"], note["gross"], note["reason"]) == (
        "credit_note",
        invoice.pk,
        "5.95",
        "An outage",
    )
    read = calling(priced).get(f"/api/invoices/{note['id']}/").json()
    assert read["number"] == note["number"]
    assert calling(priced).get(f"/api/invoices/{invoice.pk}/").json()["open_amount"] == "7.65"
    refused = ask(staff, invoice=invoice.pk, reason="Too much", lines=[{"position": 2, "amount": "9"}])
    assert (refused.status_code, list(refused.json())) == (409, ["lines"])
    assert ask(staff, invoice=invoice.pk, reason="Twice", lines=lines * 2).status_code == 400
    assert ask(calling(priced), invoice=invoice.pk, reason="Please").status_code == 403
    assert ask(staff, invoice=invoice.pk, reason="All of it").json()["gross"] == "7.65"
