import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.test import Client
from django.urls import reverse

from providers.models import Deployment, Offering, Upstream

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client, olga: User) -> Client:
    client.force_login(olga)
    return client


@pytest.fixture
def deployment() -> Deployment:
    return Deployment.objects.create(
        slug="llama-at-berlin",
        offering=Offering.objects.create(name="llama-3.3-70b"),
        upstream=Upstream.objects.create(slug="berlin", name="Berlin"),
        model_name="llama",
    )


@pytest.mark.parametrize("table", ["upstream", "offering", "deployment"])
def test_every_list_and_form_opens(page: Client, deployment: Deployment, table: str) -> None:
    assert page.get(reverse(f"admin:providers_{table}_changelist")).status_code == 200
    assert page.get(reverse(f"admin:providers_{table}_add")).status_code == 200


def test_an_operator_changes_a_deployment_but_not_its_names(page: Client, deployment: Deployment) -> None:
    address = reverse("admin:providers_deployment_change", args=[deployment.pk])
    changed = {
        "slug": "other",
        "model_name": "llama-v2",
        "dialect": "openai",
        "priority": 1,
        "relative_cost": 5,
        "weight": 3,
        "overflow_queue_max": 0,
        "prefix_bytes": 0,
        "first_byte_timeout_s": 30,
    }
    assert page.post(address, changed).status_code == 302
    deployment.refresh_from_db()
    assert (deployment.slug, deployment.model_name, deployment.weight) == ("llama-at-berlin", "llama-v2", 3)
    assert (deployment.overflow_queue_max, deployment.first_byte_timeout_s) == (0, 30)
    assert deployment.idle_timeout_s is None
    assert not deployment.enabled


@pytest.mark.parametrize("bound", [{"idle_timeout_s": 0}, {"connect_timeout_s": 3601}, {"prefix_bytes": 65_537}])
def test_routing_figures_out_of_bounds_are_refused_by_the_database(
    deployment: Deployment, bound: dict[str, int]
) -> None:
    with pytest.raises(IntegrityError, match=next(iter(bound))):
        Deployment.objects.update(**bound)


@pytest.mark.parametrize("table", ["upstream", "offering", "deployment"])
def test_what_usage_refers_to_is_not_deleted(page: Client, deployment: Deployment, table: str) -> None:
    row = deployment if table == "deployment" else getattr(deployment, table)
    assert page.post(reverse(f"admin:providers_{table}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
    assert Deployment.objects.count() == 1
