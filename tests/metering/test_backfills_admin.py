"""Backfills on the operator's page: to look at, to commit and to revert."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from metering import backfills
from metering.models import Backfill, Batch
from tests.conftest import Person
from tests.metering.reported import flat, report

pytestmark = pytest.mark.django_db

PAGE = "admin:metering_backfill_changelist"


@pytest.fixture
def may(alice: Person) -> Backfill:
    made = backfills.create(alice.tenant.pk, "may")
    report(alice, flat(1, timezone.now() - timedelta(days=100)), backfill="may")
    return made


def decide(client: Client, deed: str, chosen: Backfill) -> Any:
    return client.post(reverse(PAGE), {"action": deed, "_selected_action": [chosen.pk]}, follow=True)


def test_the_operator_commits_and_reverts_backfills(client: Client, olga: User, may: Backfill) -> None:
    client.force_login(olga)
    assert "may" in client.get(reverse(PAGE)).text
    assert "may is committed." in decide(client, "commit", may).text
    assert not Batch.objects.filter(held=True).exists()
    assert "may is reverted." in decide(client, "revert", may).text
    assert "cannot be committed" in decide(client, "commit", may).text
    assert Backfill.objects.get().state == "reverted"


def test_nobody_edits_a_backfill(client: Client, olga: User, may: Backfill) -> None:
    client.force_login(olga)
    page = reverse("admin:metering_backfill_change", args=[may.pk])
    assert (client.get(page).status_code, client.post(page, {}).status_code) == (200, 403)
    assert client.get(reverse("admin:metering_backfill_add")).status_code == 403


def test_whoever_may_only_look_decides_nothing(client: Client, may: Backfill) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_backfill"))
    client.force_login(viewer)
    assert "may" in client.get(reverse(PAGE)).text
    decide(client, "commit", may)
    assert Backfill.objects.get().state == "open"
