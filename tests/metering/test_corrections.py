"""What was reported wrongly is amended or voided by rows that point at it."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.db.models import Sum
from django.utils import timezone

from metering import rollup
from metering.models import Batch, Event, IngestedKey
from tests.conftest import Person
from tests.metering.conftest import Factory
from tests.metering.reported import SOURCE, caller, flat, report, used
from tests.metering.threads import at_once

pytestmark = pytest.mark.django_db


def amendment(number: int, amends: str, output: int, **members: Any) -> dict[str, Any]:
    return flat(number, time=None, amends=amends, usage={"output": output}, **members)


def void(number: int, voids: str) -> dict[str, Any]:
    return {"id": f"req-{number}", "source": SOURCE, "voids": voids}


def counted() -> dict[str, int]:
    rollup.fold_everything()
    assert rollup.differences(timezone.now() - timedelta(days=900), timezone.now() + timedelta(days=1)) == []
    return used()


def reason(answer: Any) -> str:
    return str(answer.json()["errors"][0]["reason"])


def test_a_void_takes_back_what_was_counted_at_its_time(alice: Person) -> None:
    report(alice, flat(1), flat(2, usage={"output": 5}))
    assert counted()["request"] == 2
    assert report(alice, void(3, "req-1")).json() == {"accepted": 1, "duplicates": 0, "skipped": 0}
    assert counted() == {"output": 5, "request": 1}
    taken = Event.objects.get(sign=-1)
    original = Event.objects.get(external_id="req-1", sign=1)
    assert (taken.corrects, taken.occurred_at, taken.input_uncached) == (original.pk[0], original.occurred_at, 70)
    assert Batch.objects.get(pk=taken.batch_id).kind == "correction"


def test_an_amendment_says_what_is_right_instead(alice: Person) -> None:
    report(alice, flat(1))
    report(alice, amendment(2, "req-1", 31, offering="qwen-3-8b"))
    assert counted() == {"output": 31, "request": 1}
    right = Event.objects.get(external_id="req-2")
    assert (right.offering, right.sign, right.corrects) == ("qwen-3-8b", 1, Event.objects.get(sign=-1).corrects)
    assert (right.project_id, right.api_key_id) == (alice.project.pk, alice.key.pk)


def test_what_is_corrected_never_changes(alice: Person) -> None:
    report(alice, flat(1))
    before = Event.objects.values().get()
    report(alice, amendment(2, "req-1", 31))
    assert Event.objects.values().get(id=before["id"]) == before


def test_an_amendment_is_amended_and_voided_in_turn(alice: Person) -> None:
    report(alice, flat(1))
    report(alice, amendment(2, "req-1", 31))
    report(alice, amendment(3, "req-2", 32))
    assert counted() == {"output": 32, "request": 1}
    report(alice, void(4, "req-3"))
    assert counted() == {}


def test_a_chain_may_come_in_one_call_in_any_order(alice: Person) -> None:
    events = [void(4, "req-3"), amendment(3, "req-2", 32), amendment(2, "req-1", 31), flat(1), flat(5)]
    assert report(alice, *events).json()["accepted"] == 5
    assert counted() == {"input_uncached": 70, "output": 30, "request": 1}


def test_an_event_is_corrected_once(alice: Person) -> None:
    report(alice, flat(1))
    report(alice, amendment(2, "req-1", 31))
    for again in (void(3, "req-1"), amendment(4, "req-1", 32)):
        answer = report(alice, again)
        assert (answer.status_code, answer.json()["errors"][0]["id"]) == (409, again["id"])
    assert report(alice, void(5, "req-2"), amendment(6, "req-2", 3)).status_code == 409
    assert counted() == {"output": 31, "request": 1}


def test_a_repeated_correction_changes_nothing(alice: Person) -> None:
    report(alice, flat(1))
    for accepted in (1, 0):
        answer = report(alice, amendment(2, "req-1", 31))
        assert answer.json() == {"accepted": accepted, "duplicates": 1 - accepted, "skipped": 0}
    assert report(alice, amendment(2, "req-1", 32)).status_code == 409
    assert counted() == {"output": 31, "request": 1}


def test_a_void_cannot_be_voided_or_amended(alice: Person) -> None:
    report(alice, flat(1))
    report(alice, void(2, "req-1"))
    for correction in (void(3, "req-2"), amendment(4, "req-2", 1)):
        answer = report(alice, correction)
        assert answer.status_code == 400
        assert reason(answer).startswith("This is a void")
    assert report(alice, flat(1, usage={"output": 1})).status_code == 409  # Its id stays taken.
    assert counted() == {}


def test_a_correction_of_nothing_is_refused_with_nothing_stored(alice: Person) -> None:
    answer = report(alice, flat(1), void(2, "req-9"), amendment(3, "req-8", 1))
    assert answer.status_code == 400
    assert [(each["index"], each["field"]) for each in answer.json()["errors"]] == [(1, "voids"), (2, "amends")]
    assert Event.objects.count() + IngestedKey.objects.count() == 0


def test_a_correction_in_a_circle_is_refused(alice: Person) -> None:
    assert report(alice, amendment(1, "req-2", 1), amendment(2, "req-1", 1), void(3, "req-3")).status_code == 400
    assert Event.objects.count() + IngestedKey.objects.count() == 0


def test_a_correction_has_the_time_of_what_it_corrects(alice: Person) -> None:
    event = flat(1)
    report(alice, event)
    assert report(alice, {**amendment(2, "req-1", 31), "time": timezone.now().isoformat()}).status_code == 400
    assert report(alice, {**amendment(2, "req-1", 31), "time": event["time"]}).status_code == 200


def test_mallory_corrects_nothing_of_acme(alice: Person, mallory: Person) -> None:
    report(alice, flat(1))
    ours = str(Event.objects.get().pk[0])
    for named in ("req-1", ours):
        answer = report(mallory, void(2, named))
        assert (answer.status_code, reason(answer)) == (400, reason(report(mallory, void(2, "nothing"))))
    assert counted()["request"] == 1


def test_what_a_gateway_counted_only_staff_corrects(factory: Factory, alice: Person, olga: User) -> None:
    factory.serve(1, tenant_id=alice.tenant.pk, project_id=alice.project.pk, api_key_id=alice.key.pk)
    factory.ship()
    ours = str(Event.objects.get().pk[0])
    answer = report(alice, void(1, ours))
    assert answer.status_code == 400
    assert reason(answer).startswith("A gateway counted this event.")
    assert report(olga, amendment(1, ours, 4), tenant="acme").status_code == 200
    assert counted() == {"output": 4, "request": 1}


def test_the_address_of_an_event_voids_it_however_often_it_is_called(alice: Person) -> None:
    report(alice, flat(1))
    for accepted in (1, 0):
        answer = caller(alice).post(f"/api/usage-events/req-1/void/?source={quote(SOURCE)}")
        assert (answer.status_code, answer.json()["accepted"]) == (200, accepted)
    assert counted() == {}


def test_our_own_id_names_an_event_without_its_source(alice: Person) -> None:
    report(alice, flat(1))
    assert caller(alice).post(f"/api/usage-events/{Event.objects.get().pk[0]}/void/").status_code == 200
    assert counted() == {}
    assert caller(alice).post("/api/usage-events/019ab000-0000-7000-8000-000000000000/void/").status_code == 400


def test_the_address_of_an_event_amends_it(alice: Person) -> None:
    report(alice, flat("a/b"))
    right = flat(2, time=None, usage={"output": 31})
    answer = caller(alice).post("/api/usage-events/req-a/b/amend/", right, format="json")
    assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
    assert counted() == {"output": 31, "request": 1}
    other = {**right, "amends": "req-7"}
    assert caller(alice).post("/api/usage-events/req-a/b/amend/", other, format="json").status_code == 400
    assert caller(alice).post("/api/usage-events/x/amend/", b"{}", content_type="text/plain").status_code == 415


@pytest.mark.django_db(transaction=True)
def test_two_corrections_at_once_leave_one(alice: Person) -> None:
    report(alice, flat(1))
    answers: list[Any] = list(
        at_once(
            lambda: report(alice, amendment(2, "req-1", 31)),
            lambda: report(alice, amendment(3, "req-1", 31)),
            lambda: report(alice, void(4, "req-1")),
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    assert Event.objects.filter(sign=-1).count() == 1
    assert Event.objects.aggregate(Sum("sign"))["sign__sum"] in (0, 1)


@pytest.mark.django_db(transaction=True)
def test_the_same_correction_twice_at_once_is_stored_once(alice: Person) -> None:
    report(alice, flat(1))
    answers: list[Any] = list(at_once(*[lambda: report(alice, amendment(2, "req-1", 31)).json()] * 3))
    assert sorted(answer["accepted"] for answer in answers) == [0, 0, 1]
    assert counted() == {"output": 31, "request": 1}


@pytest.mark.django_db(transaction=True)
def test_calls_at_once_that_correct_the_same_events_in_other_orders_do_not_lock_each_other_out(alice: Person) -> None:
    report(alice, *(flat(number) for number in range(100)))
    voids = [void(1_000 + number, f"req-{number}") for number in range(100)]
    amendments = [amendment(2_000 + number, f"req-{number}", number) for number in reversed(range(100))]
    answers: list[Any] = list(at_once(lambda: report(alice, *voids), lambda: report(alice, *amendments)))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert Event.objects.filter(sign=-1).count() == 100
