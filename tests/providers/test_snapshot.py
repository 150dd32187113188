from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection

from providers.models import Deployment, Offering, Upstream
from providers.snapshot import DEPLOYMENTS_SQL, OFFERINGS_SQL
from providers.snapshot import Deployment as SeenDeployment
from providers.snapshot import Offering as SeenOffering


def deployments() -> list[SeenDeployment]:
    with connection.cursor() as cursor:
        cursor.execute(DEPLOYMENTS_SQL)
        return [SeenDeployment(*row) for row in cursor.fetchall()]


def offerings() -> list[SeenOffering]:
    with connection.cursor() as cursor:
        cursor.execute(OFFERINGS_SQL)
        return [SeenOffering(*row) for row in cursor.fetchall()]


def deployment() -> Deployment:
    return Deployment.objects.create(
        slug="llama-at-berlin",
        offering=Offering.objects.create(name="llama-3.3-70b", description="A model", context_tokens_max=8192),
        upstream=Upstream.objects.create(slug="berlin", name="Berlin"),
        model_name="llama",
        weight=2,
        relative_cost=7,
        overflow_queue_max=4,
        prefix_bytes=512,
        connect_timeout_s=2,
        first_byte_timeout_s=30,
    )


@pytest.mark.django_db
def test_the_gateway_sees_what_it_needs_of_a_deployment() -> None:
    deployment()
    assert deployments() == [
        SeenDeployment(
            "llama-at-berlin", "llama-3.3-70b", "berlin", "pool", "llama", "openai", 0, 2, 7, 4, 512, 2, 30, None
        )
    ]


@pytest.mark.django_db
def test_the_gateway_sees_what_it_needs_of_an_offering() -> None:
    row = deployment().offering
    assert offerings() == [
        SeenOffering("llama-3.3-70b", "A model", 8192, row.output_tokens_max, int(row.created_at.timestamp()))
    ]


@pytest.mark.django_db
@pytest.mark.parametrize("disabled", ["deployment", "offering", "upstream"])
def test_a_disabled_row_takes_its_deployments_out(disabled: str) -> None:
    row = deployment()
    off = row if disabled == "deployment" else getattr(row, disabled)
    off.enabled = False
    off.save()
    assert deployments() == []
    assert offerings() == ([] if disabled == "offering" else offerings())


@pytest.fixture
def heard() -> Iterator[psycopg.Connection]:
    parameters = connection.get_connection_params()
    wanted = {name: parameters[name] for name in ("dbname", "host", "port", "user", "password") if name in parameters}
    with psycopg.connect(**wanted, autocommit=True) as listener:
        listener.execute("LISTEN tokenworks_snapshot")
        yield listener


@pytest.mark.django_db(transaction=True)
def test_gateways_hear_of_a_change(heard: psycopg.Connection) -> None:
    Offering.objects.create(name="llama-3.3-70b")
    assert [note.channel for note in heard.notifies(timeout=10, stop_after=1)] == ["tokenworks_snapshot"]
