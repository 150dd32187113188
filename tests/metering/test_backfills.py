"""Backfills: usage of the past, all at once or not at all."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from metering import backfills, rollup
from metering.models import Backfill, Batch, Event, IngestedKey
from tests.conftest import Person
from tests.metering.reported import SOURCE, caller, flat, report, used
from tests.metering.threads import at_once

pytestmark = pytest.mark.django_db


def create(who: Person | User, name: str = "may", **query: str) -> Any:
    return caller(who).post(reverse("backfills", query=query), {"name": name}, format="json")


def step(who: Person | User, deed: str, name: str = "may", **query: str) -> Any:
    return caller(who).post(reverse(f"backfill-{deed}", args=[name], query=query))


def old(number: int, **members: Any) -> dict[str, Any]:
    return flat(number, timezone.now().replace(microsecond=0) - timedelta(days=200), **members)


def counted() -> dict[str, int]:
    rollup.fold_everything()
    assert rollup.differences(timezone.now() - timedelta(days=900), timezone.now() + timedelta(days=1)) == []
    return used()


def test_events_of_a_backfill_are_counted_at_once_when_it_is_committed(alice: Person) -> None:
    assert create(alice).status_code == 201
    assert report(alice, old(1), old(2), backfill="may").json()["accepted"] == 2
    assert report(alice, old(3), backfill="may").status_code == 200
    assert counted() == {}
    answer = step(alice, "commit").json()
    assert (answer["state"], answer["events"]) == ("committed", 3)
    assert counted() == {"input_uncached": 210, "output": 90, "request": 3}
    assert not Batch.objects.filter(held=True).exists()


def test_what_is_held_back_is_not_among_the_events(alice: Person) -> None:
    create(alice)
    report(alice, old(1), backfill="may")
    assert caller(alice).get(reverse("events")).json()["results"] == []
    step(alice, "commit")
    assert len(caller(alice).get(reverse("events")).json()["results"]) == 1


def test_only_a_backfill_reaches_back_beyond_35_days_and_only_so_far(alice: Person) -> None:
    create(alice)
    assert report(alice, old(1)).status_code == 400
    assert report(alice, flat(2, timezone.now() - timedelta(days=801)), backfill="may").status_code == 400
    assert report(alice, flat(3, timezone.now() + timedelta(minutes=6)), backfill="may").status_code == 400
    assert report(alice, flat(4, timezone.now() - timedelta(days=799)), backfill="may").status_code == 200


def test_a_backfill_that_is_reverted_while_open_never_counts(alice: Person) -> None:
    create(alice)
    report(alice, old(1), backfill="may")
    assert step(alice, "revert").json()["state"] == "reverted"
    assert counted() == {}
    assert step(alice, "commit").status_code == 409
    assert report(alice, old(2), backfill="may").status_code == 409
    assert counted() == {}


def test_a_backfill_that_is_reverted_while_open_leaves_nothing_that_waits(alice: Person) -> None:
    create(alice)
    report(alice, old(1), backfill="may")
    step(alice, "revert")
    assert Event.objects.count() + IngestedKey.objects.count() == 0
    assert not Batch.objects.filter(folded_at=None).exists()
    assert [batch.events for batch in Batch.objects.all()] == [0]


def test_a_committed_backfill_is_taken_back_by_rows_that_correct(alice: Person) -> None:
    create(alice)
    report(alice, old(1), old(2), backfill="may")
    report(alice, flat(3))
    step(alice, "commit")
    assert counted()["request"] == 3
    assert step(alice, "revert").json()["state"] == "reverted"
    assert counted() == {"input_uncached": 70, "output": 30, "request": 1}
    taken = list(Event.objects.filter(sign=-1))
    assert {event.corrects for event in taken} == set(
        Event.objects.filter(external_id__in=["req-1", "req-2"], sign=1).values_list("id", flat=True)
    )
    for event in taken:
        assert event.id.version == 7
        assert event.id.int >> 80 == int(event.occurred_at.timestamp() * 1000)


def test_a_reverted_backfill_can_be_sent_again_as_it_should_have_been(alice: Person) -> None:
    for name in ("may", "may-again", "may-at-last"):
        create(alice, name)
        assert report(alice, old(1, usage={"output": len(name)}), backfill=name).json()["accepted"] == 1
        step(alice, "commit", name)
        assert counted() == {"output": len(name), "request": 1}
        if name != "may-at-last":
            step(alice, "revert", name)
            assert counted() == {}


def test_amendments_and_voids_of_its_events_are_taken_back_with_it(alice: Person) -> None:
    create(alice)
    report(alice, old(1), old(2), old(3), backfill="may")
    step(alice, "commit")
    right = {"id": "right", "source": SOURCE, "offering": "x", "usage": {"output": 7}, "amends": "req-1"}
    assert report(alice, right, {**right, "id": "better", "amends": "right"}).status_code == 200
    assert report(alice, {"id": "gone", "source": SOURCE, "voids": "req-2"}).status_code == 200
    assert counted() == {"input_uncached": 70, "output": 37, "request": 2}
    step(alice, "revert")
    assert counted() == {}
    answer = report(alice, {**right, "id": "late", "amends": "better"})
    assert answer.status_code == 409


def test_steps_that_are_repeated_change_nothing(alice: Person) -> None:
    create(alice)
    report(alice, old(1), backfill="may")
    for deed, expected in (("commit", {"input_uncached": 70, "output": 30, "request": 1}), ("revert", {})):
        for _ in range(2):
            assert step(alice, deed).status_code == 200
            assert counted() == expected


def test_a_repetition_within_a_backfill_counts_once(alice: Person) -> None:
    create(alice)
    event = old(1)
    assert report(alice, event, event, backfill="may").json() == {"accepted": 1, "duplicates": 1, "skipped": 0}
    assert report(alice, event, backfill="may").json() == {"accepted": 0, "duplicates": 1, "skipped": 0}
    assert Backfill.objects.get().events == 1


def test_what_an_open_backfill_holds_is_not_told_to_be_a_repetition_elsewhere(alice: Person) -> None:
    create(alice)
    create(alice, "june")
    event = flat(1)
    report(alice, event, backfill="may")
    for query in ({}, {"backfill": "june"}):
        assert report(alice, event, **query).status_code == 409
    step(alice, "commit")
    assert report(alice, event).json()["duplicates"] == 1


def test_a_backfill_only_adds_and_what_it_holds_is_not_corrected(alice: Person) -> None:
    create(alice)
    report(alice, old(1), backfill="may")
    void = {"id": "gone", "source": SOURCE, "voids": "req-1"}
    assert report(alice, void, backfill="may").status_code == 400
    assert report(alice, void).status_code == 400
    assert report(alice, old(2), backfill="nothing").status_code == 404


def test_a_name_is_taken_for_good_and_only_so_many_are_open(alice: Person, mallory: Person, settings: Any) -> None:
    settings.TOKENWORKS_BACKFILLS_OPEN_MAX = 2
    assert [create(alice, name).status_code for name in ("a", "b", "b", "c")] == [201, 201, 409, 409]
    assert create(mallory, "a").status_code == 201
    step(alice, "revert", "a")
    assert [create(alice, name).status_code for name in ("a", "c")] == [409, 201]


@pytest.mark.parametrize("name", ["", " ", "a/b", "a b", "ä", "x" * 101])
def test_names_are_fit_for_an_address(alice: Person, name: str) -> None:
    assert create(alice, name).status_code == 400


def test_a_backfill_has_room_for_so_many_events(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfills, "EVENTS_MAX", 2)
    create(alice)
    assert report(alice, old(1), old(2), backfill="may").status_code == 200
    assert report(alice, old(3), backfill="may").status_code == 409
    assert IngestedKey.objects.count() == 2


def test_mallory_neither_sees_nor_changes_backfills_of_acme(alice: Person, mallory: Person, olga: User) -> None:
    create(alice)
    assert caller(mallory).get(reverse("backfills")).json()["results"] == []
    assert [step(mallory, deed).status_code for deed in ("commit", "revert")] == [404, 404]
    assert report(mallory, old(1), backfill="may").status_code == 404
    assert caller(alice.user).get(reverse("backfills")).json()["results"][0]["name"] == "may"
    assert step(alice, "commit", "may", tenant="mallory").status_code == 404
    assert step(olga, "commit", "may", tenant="acme").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_call_that_comes_while_it_is_committed_is_in_it_whole_or_refused(alice: Person) -> None:
    create(alice)
    found = Backfill.objects.get()
    answers: list[Any] = list(
        at_once(
            lambda: report(alice, *(old(number) for number in range(100)), backfill="may").status_code,
            lambda: backfills.commit(found).events,
            lambda: report(alice, *(old(number) for number in range(100, 200)), backfill="may").status_code,
        )
    )
    taken = [answers[0], answers[2]].count(200)
    assert counted().get("request", 0) == 100 * taken == answers[1]
    assert not Batch.objects.filter(held=True).exists()


@pytest.mark.django_db(transaction=True)
def test_reverting_while_an_event_of_it_is_amended_leaves_nothing(alice: Person) -> None:
    create(alice)
    report(alice, *(old(number) for number in range(20)), backfill="may")
    step(alice, "commit")
    right = {"id": "right", "source": SOURCE, "offering": "x", "usage": {"output": 7}, "amends": "req-7"}
    answers: list[Any] = list(
        at_once(lambda: report(alice, right).status_code, lambda: step(alice, "revert").status_code)
    )
    assert answers[0] in (200, 409, 400)  # Before it, while it goes on, and after it, when its id is free again.
    assert answers[1] == 200
    assert counted() == {}
