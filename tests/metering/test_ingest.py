"""Usage that others counted is taken once, whole calls or nothing."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from rest_framework.test import APIClient

from metering import rollup
from metering.models import Batch, Event, IngestedKey
from tenants import registry
from tenants.models import ApiKey, Project
from tests.conftest import Person
from tests.metering.reported import BATCH, NDJSON, SOURCE, caller, flat, lines, report, send, used
from tests.metering.threads import at_once

pytestmark = pytest.mark.django_db

STRUCTURED = "application/cloudevents+json"


def nothing_is_stored() -> bool:
    return not (Event.objects.exists() or Batch.objects.exists() or IngestedKey.objects.exists())


def told(answer: Any) -> list[tuple[int, str]]:
    """Place and field of each refusal."""
    return [(each["index"], each["field"]) for each in answer.json()["errors"]]


def test_reported_usage_reaches_the_buckets(alice: Person) -> None:
    answer = report(alice, flat(1), flat(2))
    assert (answer.status_code, answer.json()) == (200, {"accepted": 2, "duplicates": 0, "skipped": 0})
    rollup.fold_everything()
    assert used() == {"input_uncached": 140, "output": 60, "request": 2}


def test_an_event_says_who_counted_it_and_belongs_to_the_callers_key(alice: Person) -> None:
    at = timezone.now().replace(microsecond=123_456) - timedelta(days=2)
    report(alice, flat(1, at, deployment="elsewhere", service_tier="batch", grade="grounded", streamed=True))
    event = Event.objects.get()
    assert (event.tenant_id, event.project_id, event.api_key_id) == (alice.tenant.pk, alice.project.pk, alice.key.pk)
    assert (event.source, event.external_id, event.occurred_at) == (SOURCE, "req-1", at)
    assert (event.input_uncached, event.output, event.reasoning) == (70, 30, None)
    assert (event.deployment, event.service_tier, event.grade) == ("elsewhere", "batch", "grounded")
    assert (event.usage_source, event.outcome, event.billed, event.sign) == ("reported", "completed", True, 1)
    assert event.id.version == 7
    assert event.id.int >> 80 == int(at.timestamp() * 1000)
    batch = Batch.objects.get()
    assert (batch.pk, batch.kind, batch.events, batch.held) == (event.batch_id, "ingest", 1, False)


def test_every_format_reports_the_same_event_so_it_is_taken_once(alice: Person) -> None:
    event = flat(1)
    data = {"offering": event["offering"], "usage": event["usage"]}
    attributes = {name: event[name] for name in ("id", "source", "time")}
    cloud_event = {"specversion": "1.0", "type": "tokenworks.usage", **attributes, "data": data}
    headers = {f"ce-{name}": said for name, said in cloud_event.items() if name != "data"}
    assert report(alice, event).json()["accepted"] == 1
    for answer in (
        report(alice, cloud_event),
        send(alice, json.dumps(cloud_event).encode(), STRUCTURED),
        send(alice, json.dumps([cloud_event]).encode(), BATCH),
        send(alice, json.dumps(data).encode(), "application/json", headers=headers),
    ):
        assert answer.json() == {"accepted": 0, "duplicates": 1, "skipped": 0}
    assert Event.objects.count() == 1


# PITFALLS, "Keeping": accepted with 200 and never processed; half of a failed batch stayed.
def test_one_bad_event_and_nothing_of_the_call_is_stored(alice: Person) -> None:
    answer = report(alice, flat(1), flat(2, usage={"output": -1}), flat(3, usage={"tokens": 1}), flat(4))
    assert answer.status_code == 400
    assert told(answer) == [(1, "usage.output"), (2, "usage.tokens")]
    assert [each["id"] for each in answer.json()["errors"]] == ["req-2", "req-3"]
    assert nothing_is_stored()


def test_the_reasons_are_bounded_and_counted(alice: Person) -> None:
    answer = report(alice, *(flat(number, usage={}) for number in range(150)))
    assert (len(answer.json()["errors"]), answer.json()["error_count"]) == (100, 150)


@pytest.mark.parametrize(
    ("ahead", "status"),
    [
        (timedelta(minutes=6), 400),
        (timedelta(minutes=4), 200),
        (-timedelta(days=34, hours=23), 200),
        (-timedelta(days=35, minutes=1), 400),
    ],
)
def test_events_are_of_the_last_35_days_and_at_most_5_minutes_ahead(
    alice: Person, ahead: timedelta, status: int
) -> None:
    answer = report(alice, flat(1, timezone.now() + ahead))
    assert answer.status_code == status
    if status == 400:
        assert told(answer) == [(0, "time")]
        assert nothing_is_stored()


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1969-12-31T23:59:59Z"])
def test_times_at_the_ends_of_the_calendar_are_refused(alice: Person, time: str) -> None:
    answer = report(alice, flat(1, time=time))
    assert (answer.status_code, told(answer)) == (400, [(0, "time")])


def test_a_repetition_is_accepted_and_counts_once(alice: Person) -> None:
    event = flat(1)
    report(alice, event)
    assert report(alice, event, flat(2)).json() == {"accepted": 1, "duplicates": 1, "skipped": 0}
    rollup.fold_everything()
    assert used()["request"] == 2


# PITFALLS, "Keeping": the window of the deduplication had passed.
def test_a_repetition_after_the_event_is_archived_is_still_one(alice: Person) -> None:
    event = flat(1)
    report(alice, event)
    Event.objects.all().delete()
    assert report(alice, event).json() == {"accepted": 0, "duplicates": 1, "skipped": 0}
    assert not Event.objects.exists()


def test_a_repetition_within_a_call_counts_once(alice: Person) -> None:
    event = flat(1)
    assert report(alice, event, event).json() == {"accepted": 1, "duplicates": 1, "skipped": 0}


def test_an_id_with_other_content_is_a_conflict_and_nothing_is_stored(alice: Person) -> None:
    event = flat(1)
    report(alice, event)
    answer = report(alice, flat(2), {**event, "usage": {"output": 31}})
    assert (answer.status_code, told(answer)) == (409, [(1, "id")])
    assert Event.objects.count() == 1
    assert not IngestedKey.objects.filter(external_id="req-2").exists()


def test_an_id_with_two_contents_in_one_call_is_a_conflict(alice: Person) -> None:
    answer = report(alice, flat(1), flat(1, usage={"output": 31}))
    assert (answer.status_code, told(answer)) == (409, [(1, "id")])
    assert nothing_is_stored()


# PITFALLS, "Keeping": the key of the deduplication forgot a field and deleted good events.
def test_the_same_id_of_another_source_or_tenant_is_another_event(alice: Person, mallory: Person) -> None:
    event = flat(1)
    assert report(alice, event).json()["accepted"] == 1
    assert report(alice, {**event, "source": "another"}).json()["accepted"] == 1
    assert report(mallory, event).json()["accepted"] == 1
    assert Event.objects.values("id").distinct().count() == 3


def test_an_application_reports_for_other_projects_of_its_tenant(alice: Person) -> None:
    research = Project.objects.create(tenant=alice.tenant, slug="research", name="Research")
    key = registry.issue_key(research, "cluster").key
    report(alice, flat(1, project="research"), flat(2, api_key=key.pk), flat(3, project="research", api_key=key.pk))
    found = list(Event.objects.order_by("external_id").values_list("project_id", "api_key_id"))
    assert found == [(research.pk, 0), (research.pk, key.pk), (research.pk, key.pk)]


def test_projects_and_keys_of_others_are_refused_as_if_there_were_none(alice: Person, mallory: Person) -> None:
    hers = Project.objects.create(tenant=mallory.tenant, slug="hers", name="Hers")
    answer = report(
        alice,
        flat(1, project=hers.slug),
        flat(2, api_key=mallory.key.pk),
        flat(3, project="nothing"),
        flat(4, api_key=10**15),
    )
    assert told(answer) == [(0, "project"), (1, "api_key"), (2, "project"), (3, "api_key")]
    assert [each["reason"] for each in answer.json()["errors"][:2]] == [
        each["reason"] for each in answer.json()["errors"][2:]
    ]


def test_a_key_of_another_project_than_the_named_one_is_refused(alice: Person) -> None:
    Project.objects.create(tenant=alice.tenant, slug="research", name="Research")
    assert told(report(alice, flat(1, project="research", api_key=alice.key.pk))) == [(0, "api_key")]


def test_nobody_reports_for_another_tenant(alice: Person, mallory: Person) -> None:
    assert told(report(mallory, flat(1, tenant="acme"))) == [(0, "tenant")]
    assert report(mallory, flat(1), tenant="acme").status_code == 404
    assert report(mallory, flat(1), tenant="nobody").status_code == 404
    assert nothing_is_stored()
    assert report(alice, flat(1, tenant="acme"), tenant="acme").status_code == 200


def test_the_operators_staff_report_for_the_tenant_they_name(alice: Person, olga: User) -> None:
    assert report(olga, flat(1)).status_code == 400
    assert report(olga, flat(1), tenant="nobody").status_code == 404
    assert told(report(olga, flat(1), tenant="acme")) == [(0, "project")]
    assert report(olga, flat(1, project=alice.project.slug), tenant="acme").status_code == 200
    assert (Event.objects.get().tenant_id, Event.objects.get().api_key_id) == (alice.tenant.pk, 0)


def test_an_applications_key_neither_reports_nor_takes_back(alice: Person) -> None:
    report(alice, flat(1))
    ApiKey.objects.update(reports_usage=False)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {alice.secret}")
    refused = (
        client.post(reverse("usage-events"), lines([flat(2)]), content_type=NDJSON),
        client.post(f"/api/usage-events/req-1/void/?source={quote(SOURCE)}"),
        client.post("/api/backfills/", {"name": "october"}, format="json"),
    )
    assert [answer.status_code for answer in refused] == [403, 403, 403]
    assert "operator allows it" in refused[0].json()["detail"]
    assert Event.objects.count() == 1


def test_members_look_but_report_nothing(alice: Person) -> None:
    client = caller(alice.user)
    assert client.post(reverse("usage-events"), lines([flat(1)]), content_type=NDJSON).status_code == 403
    assert APIClient().post(reverse("usage-events"), lines([flat(1)]), content_type=NDJSON).status_code == 401
    assert nothing_is_stored()


def test_a_body_of_more_than_10_mb_is_413(alice: Person, settings: Any) -> None:
    assert settings.TOKENWORKS_INGEST_BODY_BYTES_MAX == 10 * 2**20
    assert send(alice, lines([flat(1)]) + b"\n" * 10 * 2**20).status_code == 413
    assert nothing_is_stored()


def test_more_events_than_a_call_may_hold_are_413(alice: Person, settings: Any) -> None:
    settings.TOKENWORKS_INGEST_EVENTS_MAX = 2
    assert report(alice, flat(1), flat(2), flat(3)).status_code == 413
    assert report(alice, flat(1), flat(2)).status_code == 200


@pytest.mark.parametrize("kind", ["text/csv", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"])
def test_other_content_types_are_415(alice: Person, kind: str) -> None:
    assert send(alice, lines([flat(1)]), kind).status_code == 415


def test_bodies_may_be_compressed_by_gzip_and_nothing_else(alice: Person) -> None:
    body = gzip.compress(lines([flat(1)]))
    assert send(alice, body, headers={"content-encoding": "br"}).status_code == 415
    assert send(alice, body[:-1], headers={"content-encoding": "gzip"}).status_code == 400
    assert nothing_is_stored()
    assert send(alice, body, headers={"content-encoding": "gzip"}).json()["accepted"] == 1


def test_a_body_that_unpacks_to_more_than_10_mb_is_413(alice: Person) -> None:
    body = gzip.compress(b"\n" * (10 * 2**20 + 1))
    assert send(alice, body, headers={"content-encoding": "gzip"}).status_code == 413


def test_a_call_without_events_stores_nothing(alice: Person) -> None:
    assert send(alice, b"\n").json() == {"accepted": 0, "duplicates": 0, "skipped": 0}
    assert nothing_is_stored()


def test_the_largest_counts_of_many_events_do_not_stop_the_folding(alice: Person) -> None:
    at = timezone.now() - timedelta(hours=1)
    report(alice, *(flat(number, at, usage={"output": 10**12}) for number in range(100)))
    rollup.fold_everything()
    assert used()["output"] == 10**14


@pytest.mark.django_db(transaction=True)
def test_two_calls_at_once_store_each_event_once(alice: Person) -> None:
    events = [flat(number) for number in range(200)]
    answers = at_once(
        lambda: report(alice, *events).json(),
        lambda: report(alice, *reversed(events)).json(),  # In the other order, they could lock each other out.
        lambda: report(alice, *events[50:], flat("more")).json(),
    )
    receipts: list[Any] = list(answers)
    assert sum(receipt["accepted"] for receipt in receipts) == 201
    assert sum(receipt["duplicates"] for receipt in receipts) == 200 + 151 - 1
    rollup.fold_everything()
    assert used()["request"] == 201


@pytest.mark.django_db(transaction=True)
def test_two_calls_at_once_that_contradict_each_other_store_one(alice: Person) -> None:
    event = flat(1)
    answers: list[Any] = list(
        at_once(lambda: report(alice, event), lambda: report(alice, {**event, "usage": {"output": 31}}, flat(2)))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert IngestedKey.objects.filter(external_id="req-1").count() == 1
    assert Event.objects.count() == IngestedKey.objects.count()


def test_the_worker_is_told_only_when_the_call_is_committed(
    alice: Person, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        report(alice, flat(1))
    assert len(callbacks) == 1
    with django_capture_on_commit_callbacks() as callbacks:
        report(alice, flat(2, usage={}))
    assert callbacks == []


@st.composite
def calls(draw: st.DrawFn) -> list[list[int]]:
    """Numbers of events, some of them often, in any order, split over calls."""
    numbers = draw(st.lists(st.integers(0, 12), min_size=1, max_size=40))
    cuts = sorted(draw(st.sets(st.integers(1, len(numbers)), max_size=5)))
    return [numbers[start:end] for start, end in zip([0, *cuts], [*cuts, len(numbers)], strict=True)]


@effort(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(sent=calls())
def test_any_mixture_of_repetitions_order_and_calls_stores_the_same(alice: Person, sent: list[list[int]]) -> None:
    Event.objects.all().delete()
    IngestedKey.objects.all().delete()
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    receipts = [report(alice, *(flat(number, at, usage={"output": number}) for number in call)).json() for call in sent]
    every = [number for call in sent for number in call]
    stored = sorted(Event.objects.values_list("external_id", "output"))
    assert stored == sorted((f"req-{number}", number) for number in set(every))
    assert sum(receipt["accepted"] + receipt["duplicates"] for receipt in receipts) == len(every)


def cut_or_changed(raw: bytes) -> st.SearchStrategy[bytes]:
    def changed(place: int, byte: int) -> bytes:
        return raw[:place] + bytes([byte]) + raw[place + 1 :]

    places = st.integers(0, len(raw) - 1)
    return st.one_of(places.map(lambda end: raw[:end]), st.builds(changed, places, st.integers(0, 255)))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A good event beside one with any value in any member, or with a byte changed, or cut."""
    event = flat(draw(st.integers(0, 3)), datetime.now(UTC))
    if draw(st.booleans()):
        event[draw(st.sampled_from([*event, "amends", "voids", "api_key", "project", "billed"]))] = draw(JSON_VALUES)
        return lines([flat("good"), event])
    return lines([flat("good")]) + b"\n" + draw(cut_or_changed(lines([event])))


@effort(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(body=bodies(), kind=st.sampled_from(["application/x-ndjson", BATCH, STRUCTURED, "application/json"]))
def test_any_input_is_taken_whole_or_refused_with_nothing_stored(alice: Person, body: bytes, kind: str) -> None:
    Event.objects.all().delete()
    IngestedKey.objects.all().delete()
    answer = send(alice, body, kind)
    assert answer.status_code in (200, 400, 409), answer.content
    if answer.status_code == 200:
        assert Event.objects.count() == answer.json()["accepted"]
    else:
        assert answer.json()["detail"]
        assert Event.objects.count() + IngestedKey.objects.count() == 0
