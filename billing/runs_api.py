"""The office API about closing runs, for staff."""

from typing import Any, cast

from django.contrib.auth.models import User
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from billing import runs
from billing.api import MonthField, Refused
from billing.errors import BillingError
from billing.models import ClosingItem, ClosingRun
from tenants.permissions import StaffByRole

GRACE_HOURS_MAX = 720


class ClosingRunSerializer(serializers.ModelSerializer[ClosingRun]):
    month = MonthField(read_only=True)
    started_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)
    progress = serializers.SerializerMethodField(help_text="How many tenants are in which state.")

    def get_progress(self, run: ClosingRun) -> dict[str, int]:
        return runs.progress(run)

    class Meta:
        model = ClosingRun
        fields = ["id", "month", "grace_hours", "started_by", "started_at", "progress"]


class StartSerializer(serializers.Serializer[Any]):
    """Which month to close for every tenant."""

    month = MonthField(help_text="Year and month, such as 2026-11.")
    grace_hours = serializers.IntegerField(
        min_value=0, max_value=GRACE_HOURS_MAX, required=False, help_text="Where left out, that of the settings."
    )


class ClosingItemSerializer(serializers.ModelSerializer[ClosingItem]):
    month = MonthField(source="run.month", read_only=True)
    tenant = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    approved_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)

    class Meta:
        model = ClosingItem
        fields = [
            "id",
            "run",
            "month",
            "tenant",
            "state",
            "due_at",
            "invoice",
            "parked_for",
            "reason",
            "approved_by",
            "approved_at",
            "changed_at",
        ]


class NewestRunsFirst(CursorPagination):
    ordering = "-month"


class ItemsInOrder(CursorPagination):
    ordering = "id"


class ClosingRunViewSet(mixins.CreateModelMixin, ReadOnlyModelViewSet[ClosingRun]):
    """Runs that close a month for every tenant, newest first."""

    permission_classes = [StaffByRole]
    serializer_class = ClosingRunSerializer
    pagination_class = NewestRunsFirst
    lookup_value_regex = "[0-9]{1,18}"
    queryset = ClosingRun.objects.select_related("started_by")

    @extend_schema(request=StartSerializer, responses={201: ClosingRunSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Start the run of a month, or add to it the tenants that it lacks. Workers take it from there."""
        asked = StartSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            run = runs.start(by=_person(request), **asked.validated_data)
        except BillingError as refusal:
            raise Refused(refusal) from refusal
        return Response(ClosingRunSerializer(run).data, status=status.HTTP_201_CREATED)


@extend_schema(parameters=[OpenApiParameter("run", int), OpenApiParameter("state", str)])
class ClosingItemViewSet(ReadOnlyModelViewSet[ClosingItem]):
    """Tenants' months in runs, narrowed by `run` and `state`."""

    permission_classes = [StaffByRole]
    serializer_class = ClosingItemSerializer
    pagination_class = ItemsInOrder
    lookup_value_regex = "[0-9]{1,18}"
    queryset = ClosingItem.objects.select_related("run", "tenant", "approved_by")

    def get_queryset(self) -> QuerySet[ClosingItem]:
        given = self.request.query_params
        asked = {"run_id": given.get("run", ""), "state": given.get("state", "")}
        if asked["run_id"] and not asked["run_id"].isdecimal():
            raise serializers.ValidationError({"run": ["Give the id of a run."]})
        return super().get_queryset().filter(**{name: value for name, value in asked.items() if value})

    @extend_schema(request=None, responses=ClosingItemSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Let the invoice go out over the amount that is shown. 409 where it was not parked for approval."""
        return _taken_up(lambda: runs.approve(self.get_object().pk, _person(request)))

    @extend_schema(request=None, responses=ClosingItemSerializer)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Try a parked item again from its start."""
        return _taken_up(lambda: runs.try_again(self.get_object().pk))


def _taken_up(deed: Any) -> Response:
    try:
        item = deed()
    except BillingError as refusal:
        raise Refused(refusal) from refusal
    return Response(ClosingItemSerializer(item).data)


def _person(request: Request) -> User:
    return cast(User, request.user)  # StaffByRole lets no key pass: a key's holder is no staff.
