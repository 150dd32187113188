"""The office API of backfills."""

from typing import Any

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from metering import backfills
from metering.ingest_api import TENANT, RefusedSerializer
from metering.ingest_caller import SaysWhy, reporter_of
from metering.models import Backfill
from tenants.visibility import visible_tenant_ids


class BackfillSerializer(serializers.ModelSerializer[Backfill]):
    """Usage of the past that becomes counted at once."""

    name = serializers.RegexField(r"^[A-Za-z0-9._-]{1,100}$", help_text="Letters, digits, dots, dashes, underlines.")

    class Meta:
        model = Backfill
        fields = ["name", "state", "events", "created_at", "committed_at", "reverted_at"]
        read_only_fields = ["state", "events", "created_at", "committed_at", "reverted_at"]


ANSWERS = {200: BackfillSerializer, **dict.fromkeys((404, 409), RefusedSerializer)}


class NewestFirst(CursorPagination):
    ordering = ("-created_at", "-id")


class BackfillsView(SaysWhy, ListAPIView[Backfill]):
    """The backfills that the caller may see, newest first, and a new one."""

    table = Backfill

    serializer_class = BackfillSerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> QuerySet[Backfill]:
        if getattr(self, "swagger_fake_view", False):
            return Backfill.objects.none()
        tenants = visible_tenant_ids(self.request.user)
        return Backfill.objects.all() if tenants is None else Backfill.objects.filter(tenant_id__in=tenants)

    @extend_schema(parameters=[TENANT], request=BackfillSerializer, responses={201: BackfillSerializer, **ANSWERS})
    def post(self, request: Request) -> Response:
        asked = BackfillSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        made = backfills.create(reporter_of(request).tenant_id, asked.validated_data["name"])
        return Response(BackfillSerializer(made).data, status=201)


class BackfillStep(SaysWhy):
    """A change of a backfill's state."""

    table = Backfill

    step: Any = None

    def post(self, request: Request, name: str) -> Response:
        found = backfills.named(reporter_of(request).tenant_id, name)
        return Response(BackfillSerializer(self.step(found)).data)


@extend_schema(parameters=[TENANT], request=None, responses=ANSWERS)
class CommitView(BackfillStep):
    """Let all events of a backfill count at once. To do it again changes nothing."""

    step = staticmethod(backfills.commit)


@extend_schema(parameters=[TENANT], request=None, responses=ANSWERS)
class RevertView(BackfillStep):
    """Take a backfill back, whole. To do it again changes nothing."""

    step = staticmethod(backfills.revert)


urlpatterns = [
    path("backfills/", BackfillsView.as_view(), name="backfills"),
    path("backfills/<str:name>/commit/", CommitView.as_view(), name="backfill-commit"),
    path("backfills/<str:name>/revert/", RevertView.as_view(), name="backfill-revert"),
]
