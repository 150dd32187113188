import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from providers.models import Deployment, Offering, Upstream

pytestmark = pytest.mark.django_db


@pytest.fixture
def deployment() -> Deployment:
    return Deployment.objects.create(
        slug="llama-at-berlin",
        offering=Offering.objects.create(name="llama-3.3-70b"),
        upstream=Upstream.objects.create(slug="berlin", name="Berlin"),
        model_name="llama",
    )


def test_an_offering_cannot_be_renamed_in_a_form(deployment: Deployment) -> None:
    offering = Offering.objects.get(name="llama-3.3-70b")
    offering.name = "llama-4"
    with pytest.raises(ValidationError, match="Disable the row and add another"):
        offering.full_clean()


def test_a_deployment_cannot_be_moved_to_another_upstream_in_a_form(deployment: Deployment) -> None:
    moved = Deployment.objects.get()
    moved.upstream = Upstream.objects.create(slug="paris", name="Paris")
    with pytest.raises(ValidationError) as refused:
        moved.full_clean()
    assert list(refused.value.message_dict) == ["upstream"]


def test_what_is_not_a_name_can_be_changed(deployment: Deployment) -> None:
    changed = Deployment.objects.get()
    changed.priority, changed.enabled = 3, False
    changed.full_clean()
    changed.save()
    assert Deployment.objects.get().priority == 3


@pytest.mark.parametrize(
    ("table", "change"),
    [(Upstream, {"slug": "paris"}), (Offering, {"name": "llama-4"}), (Deployment, {"slug": "llama-at-paris"})],
)
def test_the_database_refuses_a_renaming_that_comes_past_the_forms(
    deployment: Deployment, table: type, change: dict[str, str]
) -> None:
    with pytest.raises(IntegrityError, match="is final"), transaction.atomic():
        table.objects.update(**change)  # type: ignore[attr-defined]  # each of the three is a table


@pytest.mark.parametrize("name", ["Llama", "llama 3", "", "-llama", "llama\n", "llama;drop"])
def test_an_offering_has_a_name_that_fits_into_addresses_and_logs(name: str) -> None:
    with pytest.raises(ValidationError):
        Offering(name=name).full_clean()


@pytest.mark.parametrize("name", ["llama-3.3-70b", "llama-3.3-70b:grounded", "meta/llama_3"])
def test_usual_model_names_are_accepted(name: str) -> None:
    Offering(name=name).full_clean()


@pytest.mark.parametrize("field", ["context_tokens_max", "output_tokens_max"])
def test_a_limit_of_no_tokens_is_refused_by_form_and_database(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        Offering(name="llama", **{field: 0}).full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        Offering.objects.create(name="llama", **{field: 0})


def test_a_used_offering_cannot_be_deleted(deployment: Deployment) -> None:
    with pytest.raises(IntegrityError):
        Offering.objects.all().delete()
