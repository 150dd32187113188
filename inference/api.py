"""The office API about what pools cost: for the operator's staff only."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.pagination import CursorPagination

from inference.models import CostShare, PoolHour
from metering.api import InstantField
from tenants.permissions import StaffByRole


class CostShareSerializer(serializers.ModelSerializer[CostShare]):
    class Meta:
        model = CostShare
        fields = ["tenant_id", "project_id", "offering", "deployment", "billed", "device_ns", "cost"]


class PoolHourSerializer(serializers.ModelSerializer[PoolHour]):
    pool = serializers.SlugField(source="pool.upstream.slug")
    provisional = serializers.BooleanField(help_text="Computed before the hour was over.")
    overcommitted = serializers.BooleanField(help_text="More device time was used than there was.")
    shares = CostShareSerializer(many=True)

    class Meta:
        model = PoolHour
        fields = [
            "pool",
            "hour_start",
            "currency",
            "cost",
            "allocated",
            "unallocated",
            "device_ns_used",
            "device_ns_available",
            "provisional",
            "overcommitted",
            "basis",
            "computed_at",
            "shares",
        ]


class PoolHourQuery(serializers.Serializer[Any]):
    """Which hours are wanted. `from` is a word of Python's, hence the renaming."""

    pool = serializers.SlugField(required=False, help_text="The slug of one pool's upstream.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        bounds = {
            "from": InstantField(required=False, help_text="The first hour."),
            "to": InstantField(required=False, help_text="The first hour that is not included any more."),
        }
        return {**super().get_fields(), **bounds}


class PoolHourPages(CursorPagination):
    """Newest first; the id makes the order total where two pools have the same hour."""

    ordering = ("-hour_start", "-id")


FILTERS = {"pool": "pool__upstream__slug", "from": "hour_start__gte", "to": "hour_start__lt"}


@extend_schema(parameters=[PoolHourQuery], summary="What each hour of each pool cost, and who bore it")
class PoolHourList(ListAPIView[PoolHour]):
    permission_classes = [StaffByRole]
    serializer_class = PoolHourSerializer
    pagination_class = PoolHourPages

    def get_queryset(self) -> QuerySet[PoolHour]:
        query = PoolHourQuery(data=self.request.query_params)
        query.is_valid(raise_exception=True)
        wanted = {FILTERS[name]: value for name, value in query.validated_data.items()}
        return PoolHour.objects.filter(**wanted).select_related("pool__upstream").prefetch_related("shares")
