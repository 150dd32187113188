from smtplib import SMTPException
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMessage

from metering import alert_mail, alerts
from metering.models import Alert
from tests.metering.threads import at_once

pytestmark = pytest.mark.django_db

GAP = ("journal_gap", "gateway-1/9.journal", "Records 5 to 8 are missing. Restore the file.")


@pytest.fixture(autouse=True)
def operators(settings: Any) -> None:
    settings.TOKENWORKS_ALERT_EMAIL = "olga@operator.example, night@operator.example"


def test_operators_are_mailed_once_an_opening_however_often_it_is_raised() -> None:
    alerts.raise_alert(*GAP)
    assert alert_mail.send_due() == 1
    alerts.raise_alert(*GAP)
    assert alert_mail.send_due() == 0
    (sent,) = mail.outbox
    assert sent.to == ["olga@operator.example", "night@operator.example"]
    assert sent.subject == "Tokenworks alert: journal_gap (gateway-1/9.journal)"
    assert GAP[2] in sent.body
    assert "/admin/metering/alert/" in sent.body
    alerts.resolve(*GAP[:2])
    alerts.raise_alert(*GAP)  # It has come again.
    assert alert_mail.send_due() == 1


def test_several_alerts_make_one_mail() -> None:
    for number in range(3):
        alerts.raise_alert("journal_gap", f"gateway-{number}", "Missing.")
    assert alert_mail.send_due() == 3
    (sent,) = mail.outbox
    assert "and 2 more" in sent.subject
    assert all(f"gateway-{number}" in sent.body for number in range(3))


def test_what_is_over_before_the_mail_goes_out_is_not_mailed() -> None:
    alerts.raise_alert(*GAP)
    alerts.resolve(*GAP[:2])
    assert alert_mail.send_due() == 0
    assert mail.outbox == []


def test_without_an_address_nothing_is_mailed_or_marked(settings: Any) -> None:
    settings.TOKENWORKS_ALERT_EMAIL = ""
    alerts.raise_alert(*GAP)
    assert alert_mail.send_due() == 0
    assert Alert.objects.get().mailed_at is None


def test_a_subject_with_line_breaks_forges_no_header() -> None:
    alerts.raise_alert("journal_gap", "a\nBcc: mallory@mallory.example", "Missing.")
    alert_mail.send_due()
    assert mail.outbox[0].subject.endswith("(a Bcc: mallory@mallory.example)")
    assert mail.outbox[0].recipients() == ["olga@operator.example", "night@operator.example"]


def test_a_mail_server_that_refuses_gets_the_alert_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(message: EmailMessage) -> int:
        raise SMTPException("421 later")

    alerts.raise_alert(*GAP)
    with monkeypatch.context() as patched:
        patched.setattr(EmailMessage, "send", refuse)
        with pytest.raises(SMTPException):
            alert_mail.send_due()
    assert Alert.objects.get().mailed_at is None
    assert alert_mail.send_due() == 1


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_looks_while_another_one_sends_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile: list[object] = []

    def slow(message: EmailMessage) -> int:
        meanwhile.extend(at_once(alert_mail.send_due))
        return 1

    monkeypatch.setattr(EmailMessage, "send", slow)
    alerts.raise_alert(*GAP)
    assert alert_mail.send_due() == 1
    assert meanwhile == [0]
