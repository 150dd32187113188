import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from metering import rollup
from metering.models import Batch, Bucket
from tests.metering.conftest import Factory

pytestmark = pytest.mark.django_db


@pytest.fixture
def office(client: Client, olga: User) -> Client:
    client.force_login(olga)
    return client


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
