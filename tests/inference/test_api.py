from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from inference.models import HOUR, Pool
from inference.pool_hours import allocate_hour
from tests.conftest import Person
from tests.inference.samples import NOON, Use

pytestmark = [pytest.mark.django_db, pytest.mark.urls("inference.urls")]


def ask(user: User, **query: str) -> Any:
    client = APIClient()
    client.force_login(user)
    return client.get(reverse("pool-hours"), query)


def test_staff_see_what_an_hour_cost_and_who_bore_it(olga: User, pool: Pool, use: Use) -> None:
    use(72_000, tenant_id=7)
    allocate_hour(pool, NOON)
    answer = ask(olga)
    assert answer.status_code == 200
    row = answer.json()["results"][0]
    assert row["pool"] == "berlin"
    assert (row["cost"], row["allocated"], row["unallocated"]) == (
        "3.600000000000",
        "0.360000000000",
        "3.240000000000",
    )
    assert [(share["tenant_id"], share["cost"]) for share in row["shares"]] == [(7, "0.360000000000")]
    assert row["basis"]["given"]["figures"]["rent_per_hour"] == "1.800000"


def test_nobody_else_sees_what_the_operator_pays(alice: Person, pool: Pool) -> None:
    assert ask(alice.user).status_code == 403
    by_key = APIClient().get(reverse("pool-hours"), headers={"authorization": f"Bearer {alice.secret}"})
    assert by_key.status_code == 403
    assert APIClient().get(reverse("pool-hours")).status_code == 401


def test_hours_are_newest_first_and_can_be_chosen(olga: User, pool: Pool) -> None:
    for index in range(3):
        allocate_hour(pool, NOON + index * HOUR)
    found = ask(olga, **{"pool": "berlin", "from": "2026-03-10T13:00:00Z", "to": "2026-03-10T15:00:00Z"}).json()
    assert [row["hour_start"] for row in found["results"]] == ["2026-03-10T14:00:00Z", "2026-03-10T13:00:00Z"]
    assert ask(olga, pool="paris").json()["results"] == []


@pytest.mark.parametrize("query", [{"from": "yesterday"}, {"to": "2026-03-10T13:00:00"}, {"pool": "a b"}])
def test_a_question_that_makes_no_sense_is_refused(olga: User, query: dict[str, str]) -> None:
    answer = ask(olga, **query)
    assert answer.status_code == 400
    assert list(answer.json()) == list(query)


def test_the_schema_describes_it_without_warnings() -> None:
    GENERATOR_STATS.reset()
    generator = SchemaGenerator(urlconf="inference.urls")  # type: ignore[no-untyped-call]  # it has no types
    schema = generator.get_schema(public=True)  # type: ignore[no-untyped-call]
    names = {parameter["name"] for parameter in schema["paths"]["/pool-hours/"]["get"]["parameters"]}
    assert names >= {"pool", "from", "to", "cursor"}
    assert not GENERATOR_STATS
