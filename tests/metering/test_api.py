from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from metering import rollup, totals
from tests.conftest import Person
from tests.metering.conftest import Factory

pytestmark = pytest.mark.django_db

NOVEMBER = {"from": "2023-11-01T00:00:00Z", "to": "2023-12-01T00:00:00Z"}


def used_by(factory: Factory, person: Person, count: int = 1) -> None:
    """Requests of that person's key, shipped and folded."""
    factory.serve(
        count, tenant_id=person.tenant.pk, project_id=person.project.pk, api_key_id=person.key.pk, streamed=True
    )
    factory.ship()
    rollup.fold_everything()


def ask(caller: Person | User, address: str = "usage", **query: str) -> Any:
    client = APIClient()
    client.force_login(caller.user if isinstance(caller, Person) else caller)
    return client.get(reverse(address), query)


def test_a_member_sees_what_the_tenant_used(factory: Factory, alice: Person, bob: Person) -> None:
    used_by(factory, alice, 2)
    answer = ask(bob, **NOVEMBER)
    assert answer.status_code == 200
    assert answer.json() == {
        "next": None,
        "results": [
            {
                "group": {},
                "requests": 2,
                "input_tokens": 14,
                "output_tokens": 6,
                "units": {"input_uncached": 14, "output": 6, "request": 2},
            }
        ],
    }


def test_an_application_sees_what_its_tenant_used(factory: Factory, alice: Person, mallory: Person) -> None:
    used_by(factory, alice, 2)
    used_by(factory, mallory, 1)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {alice.secret}")
    assert client.get(reverse("usage"), NOVEMBER).json()["results"][0]["requests"] == 2
    assert client.get(reverse("events")).json()["results"][0]["project_id"] == alice.project.pk


def test_mallory_sees_nothing_of_acme(factory: Factory, alice: Person, mallory: Person) -> None:
    used_by(factory, alice)
    assert ask(mallory, **NOVEMBER).json()["results"][0]["requests"] == 0
    assert ask(mallory, "events").json()["results"] == []


@pytest.mark.parametrize("address", ["usage", "events"])
def test_mallory_cannot_tell_whether_a_tenant_exists(alice: Person, mallory: Person, address: str) -> None:
    others = ask(mallory, address, **NOVEMBER, tenant="acme")
    unknown = ask(mallory, address, **NOVEMBER, tenant="nobody")
    assert (others.status_code, others.json()) == (unknown.status_code, unknown.json())
    assert others.status_code == 404


@pytest.mark.parametrize("address", ["usage", "events"])
def test_nobody_sees_anything_without_a_name(address: str) -> None:
    assert APIClient().get(reverse(address), NOVEMBER).status_code == 401


def test_the_operator_sees_everyone_and_may_name_a_tenant(
    factory: Factory, alice: Person, mallory: Person, olga: User
) -> None:
    used_by(factory, alice, 2)
    used_by(factory, mallory, 1)
    assert ask(olga, **NOVEMBER).json()["results"][0]["requests"] == 3
    assert ask(olga, **NOVEMBER, tenant="mallory").json()["results"][0]["requests"] == 1
    by_tenant = ask(olga, **NOVEMBER, group_by="tenant").json()["results"]
    assert [(total["group"], total["requests"]) for total in by_tenant] == [
        ({"tenant": "acme"}, 2),
        ({"tenant": "mallory"}, 1),
    ]


def test_usage_is_grouped_by_what_was_asked_for(factory: Factory, alice: Person) -> None:
    used_by(factory, alice)
    (total,) = ask(alice, **NOVEMBER, group_by="project, offering,deployment,api_key,billed,day,hour").json()["results"]
    assert total["group"] == {
        "project": f"acme/{alice.project.slug}",
        "offering": "llama-3.3-70b",
        "deployment": "llama-at-pool-a",
        "api_key": alice.key.pk,
        "billed": True,
        "day": "2023-11-15",
        "hour": "2023-11-15T12:00:00Z",
    }


def test_usage_may_be_cut_at_another_zones_days(factory: Factory, alice: Person) -> None:
    used_by(factory, alice)
    (total,) = ask(alice, **NOVEMBER, group_by="day", zone="Pacific/Kiritimati").json()["results"]
    assert total["group"] == {"day": "2023-11-16"}


def test_only_billed_usage_can_be_asked_for(factory: Factory, alice: Person) -> None:
    used_by(factory, alice)
    assert ask(alice, **NOVEMBER, billed="true").json()["results"][0]["requests"] == 1
    assert ask(alice, **NOVEMBER, billed="false").json()["results"][0]["requests"] == 0


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ({"from": ""}, "to", "not after"),  # Empty is absent: from the begin of this month.
        ({"from": "yesterday"}, "from", "format"),
        ({"from": "2023-11-01T00:00:00"}, "from", "offset"),
        ({"from": "2023-11-01"}, "from", "offset"),
        ({"from": "2023-11-01T00:01:00Z"}, "from", "quarter"),
        ({"to": "2023-12-01T00:00:00.000001Z"}, "to", "quarter"),
        ({"to": "2023-11-01T00:00:00Z"}, "to", "not after"),
        ({"from": "2024-11-01T00:00:00Z"}, "to", "not after"),
        ({"group_by": "project,colour"}, "group_by", "colour is not one of"),
        ({"group_by": "day;drop table"}, "group_by", "is not one of"),
        ({"billed": "perhaps"}, "billed", "boolean"),
        ({"zone": "Mars/Olympus"}, "zone", "IANA"),
        ({"zone": "../etc/passwd"}, "zone", "IANA"),
        ({"tenant": "no slug"}, "tenant", "slug"),
    ],
)
def test_bad_input_is_refused_and_the_field_is_named(
    alice: Person, query: dict[str, str], field: str, said: str
) -> None:
    answer = ask(alice, **{**NOVEMBER, **query})
    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert said in answer.json()[field][0]


def test_bounds_at_the_ends_of_time_are_no_trouble(factory: Factory, alice: Person) -> None:
    used_by(factory, alice)
    always = {"from": "0001-01-01T00:00:00+14:00", "to": "9999-12-31T23:45:00-14:00"}
    assert ask(alice, **always).json()["results"][0]["requests"] == 1
    assert len(ask(alice, "events", **always).json()["results"]) == 1


def test_an_event_shows_all_that_was_recorded(factory: Factory, alice: Person) -> None:
    used_by(factory, alice)
    (event,) = ask(alice, "events").json()["results"]
    assert event.pop("id")
    assert event == {
        "occurred_at": "2023-11-15T12:00:00Z",
        "project_id": alice.project.pk,
        "api_key_id": alice.key.pk,
        "offering": "llama-3.3-70b",
        "deployment": "llama-at-pool-a",
        "streamed": True,
        "outcome": "completed",
        "usage_source": "reported",
        "billed": True,
        "usage": {"input_uncached": 7, "output": 3},
        "upstream_status": 200,
        "first_byte_us": 500,
        "duration_us": 1500,
        "upstream_usage": {"prompt_tokens": 7, "completion_tokens": 3},
        "grade": "",
        "service_tier": "standard",
        "sign": 1,
        "corrects": None,
        "source": None,
        "external_id": None,
    }


def test_events_come_in_pages_without_a_gap_or_a_double(factory: Factory, alice: Person) -> None:
    used_by(factory, alice, 130)  # All of one instant, which is the hardest to cut into pages.
    client = APIClient()
    client.force_login(alice.user)
    address = reverse("events")
    seen: list[str] = []
    while address:
        page = client.get(address).json()
        seen += [event["id"] for event in page["results"]]
        address = page["next"]
    assert len(seen) == len(set(seen)) == 130


def test_events_can_be_narrowed_to_a_time_of_any_bounds(factory: Factory, alice: Person) -> None:
    used_by(factory, alice)
    assert len(ask(alice, "events", **{"from": "2023-11-15T12:00:00Z"}).json()["results"]) == 1
    assert ask(alice, "events", to="2023-11-15T12:00:00Z").json()["results"] == []
    assert ask(alice, "events", **{"from": "2023-11-15T12:00:00.000001Z"}).json()["results"] == []
    assert ask(alice, "events", **{"from": "later"}).status_code == 400


def test_the_schema_describes_both_views_without_a_warning(tmp_path: Any) -> None:
    path = tmp_path / "schema.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--urlconf", "metering.urls", "--file", str(path))
    schema = path.read_text()
    for said in ("/usage/", "/events/", "name: from", "name: group_by", "UsageTotal", "upstream_usage"):
        assert said in schema


def test_without_bounds_the_running_month_is_meant(factory: Factory, alice: Person) -> None:
    used_by(factory, alice)  # In November 2023.
    assert ask(alice).json()["results"][0]["requests"] == 0
    assert ask(alice, **{"from": NOVEMBER["from"]}).json()["results"][0]["requests"] == 1


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_the_running_month_contains_now_and_begins_and_ends_on_a_first(now: datetime) -> None:
    start, end = totals.this_month(now)
    assert start <= now < end
    assert start.day == end.day == 1
    assert (end - start).days in range(28, 32)
