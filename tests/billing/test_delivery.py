"""An invoice reaches its buyer once, however often something fails."""

from datetime import date, timedelta

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.utils import timezone

from billing import closing, delivery
from billing.documents.issue import cii_of
from billing.models import Delivery, Invoice
from billing.tasks import deliver_pending
from tenants.models import Tenant
from tests.billing.samples import DECEMBER, NOVEMBER, add_usage
from tests.conftest import Person
from tests.metering.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def invoice(priced: Person) -> Invoice:
    add_usage(priced.project, NOVEMBER, "output", 1_000_000)
    return closing.close(priced.tenant, date(2026, 11, 1), now=DECEMBER)


def test_an_invoice_is_mailed_with_its_pdf_and_its_xml(invoice: Invoice) -> None:
    assert delivery.deliver_pending(DECEMBER) == 1
    [sent] = mail.outbox
    assert sent.to == ["billing@acme.example"]
    assert sent.reply_to == ["invoices@tokenfabrik.example"]
    assert sent.subject == "Invoice TW-2026-000001 from Tokenfabrik Betriebsgesellschaft mbH"
    assert "over 2.86 USD for November 2026" in sent.body
    (name, content, kind), (xml_name, xml, xml_kind) = sent.attachments
    assert (name, kind) == ("TW-2026-000001.pdf", "application/pdf")
    assert content == bytes(invoice.document.pdf)
    assert (xml_name, xml_kind) == ("TW-2026-000001.xml", "application/xml")
    assert xml == cii_of(invoice)
    assert sent.message()["Message-ID"] == "<invoice-TW-2026-000001@localhost>"


def test_an_invoice_is_mailed_once(invoice: Invoice) -> None:
    Delivery.objects.update(next_attempt_at=timezone.now())
    for _ in range(3):
        deliver_pending()
    assert len(mail.outbox) == 1
    assert Delivery.objects.get().sent_at is not None


def test_closing_mails_nothing_by_itself(invoice: Invoice) -> None:
    assert mail.outbox == []
    assert Delivery.objects.get().sent_at is None


def test_four_workers_at_once_mail_it_once(invoice: Invoice) -> None:
    counts = at_once(*([lambda: delivery.deliver_pending(DECEMBER)] * 4))
    assert sorted(counts) == [0, 0, 0, 1]  # type: ignore[type-var]  # Integers, or the test fails.
    assert len(mail.outbox) == 1


def test_a_mail_that_fails_waits_longer_each_time_and_says_why(
    invoice: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: EmailBackend, messages: object) -> int:
        raise OSError("451 try again later")

    with monkeypatch.context() as patch:
        patch.setattr(EmailBackend, "send_messages", refuse)
        now = DECEMBER
        waits = []
        for _ in range(12):
            assert delivery.deliver_pending(now) == 0
            row = Delivery.objects.get()
            waits.append(row.next_attempt_at - now)
            assert delivery.deliver_pending(row.next_attempt_at - timedelta(seconds=1)) == 0
            now = row.next_attempt_at
    assert waits[:4] == [timedelta(minutes=minutes) for minutes in (1, 2, 4, 8)]
    assert waits[-1] == timedelta(hours=6)
    assert (row.attempts, row.last_error) == (12, "OSError: 451 try again later")
    assert delivery.deliver_pending(now) == 1


def test_one_that_fails_does_not_hold_up_the_others(invoice: Invoice, priced: Person, mallory: Person) -> None:
    plan = priced.tenant.plans.get()
    mallory.tenant.plans.create(price_book=plan.price_book, starts_at=plan.starts_at)
    add_usage(mallory.project, NOVEMBER, "output", 1_000_000)
    closing.close(mallory.tenant, date(2026, 11, 1), now=DECEMBER)
    Delivery.objects.filter(invoice=invoice).update(recipient="two\nlines@acme.example")
    assert delivery.deliver_pending(DECEMBER) == 1
    assert [message.to for message in mail.outbox] == [["billing@mallory.example"]]
    assert "BadHeaderError" in Delivery.objects.get(invoice=invoice).last_error


def test_a_tenant_without_an_address_for_mail_gets_none(priced: Person) -> None:
    Tenant.objects.filter(pk=priced.tenant.pk).update(invoice_email="")
    add_usage(priced.project, NOVEMBER, "output", 1)
    closing.close(Tenant.objects.get(pk=priced.tenant.pk), date(2026, 11, 1), now=DECEMBER)
    assert not Delivery.objects.exists()
