import pytest
from django.test import Client
from django.urls import reverse

from metering import alerts, rollup
from metering.models import Alert, Batch, Bucket
from tests.conftest import Person
from tests.metering.conftest import Factory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("table", ["batch", "bucket"])
def test_the_operator_may_look_and_may_not_touch(factory: Factory, office: Client, table: str) -> None:
    factory.serve(1)
    factory.ship()
    rollup.fold_everything()
    row = Batch.objects.get() if table == "batch" else Bucket.objects.all()[0]
    listed = office.get(reverse(f"admin:metering_{table}_changelist"))
    assert listed.status_code == 200
    assert "gateway-1" in listed.text or "llama-3.3-70b" in listed.text
    page = reverse(f"admin:metering_{table}_change", args=[row.pk])
    assert office.get(page).status_code == 200
    assert office.post(page, {}).status_code == 403
    assert office.get(reverse(f"admin:metering_{table}_add")).status_code == 403
    assert office.post(reverse(f"admin:metering_{table}_delete", args=[row.pk])).status_code == 403


def test_open_alerts_come_first_and_their_number_stands_on_every_page(office: Client) -> None:
    alerts.raise_alert("journal_gap", "gateway-1", "Missing.")
    alerts.raise_alert("buckets_differ", "2026-03-10", "They differ.")
    alerts.resolve("buckets_differ", "2026-03-10")
    Alert.objects.filter(kind="journal_gap").update(last_seen_at="2026-01-01T00:00Z")
    listed = office.get(reverse("admin:metering_alert_changelist"))
    assert [alert.kind for alert in listed.context["cl"].result_list] == ["journal_gap", "buckets_differ"]
    assert "1 open alert" in office.get(reverse("admin:index")).text
    alerts.resolve("journal_gap", "gateway-1")
    assert "open alert" not in office.get(reverse("admin:index")).text


def test_the_operator_closes_an_alert_and_changes_nothing_else(office: Client) -> None:
    alerts.raise_alert("engine_drift", "pool-a", "The engine counted more.")
    alert = Alert.objects.get()
    page = reverse("admin:metering_alert_change", args=[alert.pk])
    assert office.get(page).status_code == 200
    assert office.post(page, {"message": "nothing"}).status_code == 403
    assert office.post(reverse("admin:metering_alert_delete", args=[alert.pk])).status_code == 403
    office.post(reverse("admin:metering_alert_changelist"), {"action": "resolve", "_selected_action": [alert.pk]})
    alert.refresh_from_db()
    assert alert.resolved_at is not None
    assert alert.message == "The engine counted more."


def test_nobody_but_staff_sees_alerts(client: Client, alice: Person) -> None:
    alerts.raise_alert("journal_gap", "gateway-1", "Missing.")
    client.force_login(alice.user)
    assert client.get(reverse("admin:metering_alert_changelist")).status_code == 302
    assert "open alert" not in client.get("/admin/login/").text
