"""What the office tells Prometheus, and that it tells nobody else."""

import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from metering import alerts, rollup
from metering.journal_states import JournalWatch
from metering.models import JournalState
from metering.shipping import Shipper
from tests.metering.conftest import Factory

pytestmark = pytest.mark.django_db

SECRET = "what-prometheus-knows-and-nobody-else"
LINE = re.compile(r'^([a-z_]+)((?:\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)+\})?) (-?[0-9.]+)$')


@pytest.fixture(autouse=True)
def metrics_are_on(settings: Any) -> None:
    settings.TOKENWORKS_METRICS, settings.TOKENWORKS_METRICS_SECRET = True, SECRET


@pytest.fixture
def factory(tmp_path: Any) -> Any:
    made = Factory(tmp_path)
    yield made
    made.gateway.close()


def values(client: Client) -> dict[str, float]:
    """Each line of the page by name and labels, the journal's id left out."""
    answered = client.get("/office/metrics", headers={"authorization": f"Bearer {SECRET}"})
    assert (answered.status_code, answered["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found: dict[str, float] = {}
    for line in answered.text.splitlines():
        if not line.startswith("#"):
            match = LINE.match(line)
            assert match, line
            found[match[1] + re.sub(r',journal_id="[^"]*"', "", match[2])] = float(match[3])
    return found


def ship(factory: Factory, records_max: int = 1000) -> None:
    watch = JournalWatch()
    Shipper(factory.journals, records_max=records_max, after_commit=factory.nudge, watch=watch).ship_round()


def test_a_journal_has_its_lag_its_size_and_its_age(client: Client, factory: Factory) -> None:
    factory.serve(2)
    ship(factory, records_max=2)
    found, state = values(client), JournalState.objects.get()
    assert found['tokenworks_journal_unshipped_bytes{journal="gateway-1"}'] == state.unshipped_bytes > 0
    assert found['tokenworks_journal_unshipped_age_seconds{journal="gateway-1"}'] > 1_000_000  # They are of 2023.
    assert found['tokenworks_journal_segments{journal="gateway-1"}'] == 1
    assert found['tokenworks_journal_last_shipped{journal="gateway-1"}'] == 2
    assert found['tokenworks_events_shipped_total{journal="gateway-1"}'] == 1
    assert found['tokenworks_duplicates_total{journal="gateway-1"}'] == 0
    assert found['tokenworks_journal_problem{journal="gateway-1"}'] == 0
    assert found['tokenworks_journal_requests_open{journal="gateway-1"}'] == 0


def test_batches_that_wait_to_be_folded_are_counted_until_they_are(client: Client, factory: Factory) -> None:
    factory.serve(2)
    ship(factory)
    waiting = values(client)
    assert waiting["tokenworks_batches_unfolded"] == 1
    assert "tokenworks_last_fold_age_seconds" not in waiting
    rollup.fold_everything()
    folded = values(client)
    assert (folded["tokenworks_batches_unfolded"], folded["tokenworks_batches_unfolded_age_seconds"]) == (0, 0)
    assert folded["tokenworks_last_fold_age_seconds"] >= 0


def test_open_alerts_are_counted_by_kind(client: Client) -> None:
    for subject in ("a", "b", "c"):
        alerts.raise_alert("journal_gap", subject, "Missing.")
    alerts.resolve("journal_gap", "c")
    assert values(client)['tokenworks_alerts_open{kind="journal_gap"}'] == 2


def test_two_journals_of_one_name_are_two_lines(client: Client) -> None:
    for number in (1, 2):
        JournalState.objects.create(
            journal_id=UUID(int=number),
            name='gate"way',
            node="n",
            last_shipped=number,
            unshipped_bytes=0,
            segments=1,
            seen_at=timezone.now() - timedelta(seconds=5),
        )
    text = client.get("/office/metrics", headers={"authorization": f"Bearer {SECRET}"}).text
    lines = [line for line in text.splitlines() if line.startswith("tokenworks_journal_last_shipped{")]
    assert len(set(lines)) == 2
    assert 'journal="gate\\"way"' in lines[0]


@pytest.mark.parametrize("given", [None, "Bearer ", "Bearer wrong", f"Basic {SECRET}", f"Bearer {SECRET}é"])
def test_only_who_knows_the_secret_may_read(client: Client, given: str | None) -> None:
    answered = client.get("/office/metrics", headers={} if given is None else {"authorization": given})
    assert answered.status_code == 401
    assert b"tokenworks_batches" not in answered.content


def test_an_operator_who_is_logged_in_is_not_prometheus(client: Client, olga: Any) -> None:
    client.force_login(olga)
    assert client.get("/office/metrics").status_code == 401


def test_it_is_off_unless_it_is_turned_on(client: Client, settings: Any) -> None:
    settings.TOKENWORKS_METRICS, settings.TOKENWORKS_METRICS_SECRET = False, ""
    assert client.get("/office/metrics", headers={"authorization": "Bearer "}).status_code == 404


def test_it_takes_get_only(client: Client) -> None:
    assert client.post("/office/metrics", headers={"authorization": f"Bearer {SECRET}"}).status_code == 405


def test_without_the_database_it_says_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(alerts, "open_by_kind", away)
    answered = client.get("/office/metrics", headers={"authorization": f"Bearer {SECRET}"})
    assert (answered.status_code, answered["retry-after"]) == (503, "5")
