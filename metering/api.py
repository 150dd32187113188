"""The office API about events, and what it has in common with that about usage."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.generics import ListAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from metering import totals
from metering.models import Batch, Event
from metering.usage import REPORTED_UNITS
from tenants.models import Tenant
from tenants.visibility import visible_tenant_ids


class InstantField(serializers.DateTimeField):
    """A time with its offset from UTC. One without would be another instant for every reader."""

    default_error_messages = {"naive": "Add the offset from UTC, such as Z or +01:00 (in an address: %2B01:00)."}

    def enforce_timezone(self, value: datetime) -> datetime:
        if value.tzinfo is None:
            self.fail("naive")
        return value


class QuarterField(InstantField):
    """An instant that begins a quarter of an hour: usage is kept by quarters and cannot be cut finer."""

    default_error_messages = {"quarter": "This does not begin a quarter of an hour: :00, :15, :30 or :45."}

    def to_internal_value(self, value: Any) -> datetime:
        at: datetime = super().to_internal_value(value)
        if not totals.on_a_quarter(at):
            self.fail("quarter")
        return at


class Timespan(serializers.Serializer[Any]):
    """`from` and `to`, which Python does not take for names of attributes, and whose usage is asked for."""

    bound: type[serializers.DateTimeField] = InstantField

    tenant = serializers.SlugField(required=False, help_text="Only this tenant, by its slug.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        bounds = {
            "from": self.bound(required=False, help_text="The first instant, ISO 8601 with its offset."),
            "to": self.bound(required=False, help_text="The first instant that is not included any more."),
        }
        return {**bounds, **super().get_fields()}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "from" in attrs and "to" in attrs and attrs["from"] >= attrs["to"]:
            raise serializers.ValidationError({"to": "This is not after `from`."})
        return attrs


class EventSerializer(serializers.Serializer[Event]):
    """One attempt, as it was recorded, or a correction of one."""

    id = serializers.UUIDField(help_text="The x-request-id of the answer.")
    occurred_at = serializers.DateTimeField()
    project_id = serializers.IntegerField()
    api_key_id = serializers.IntegerField()
    offering = serializers.CharField()
    deployment = serializers.CharField()
    streamed = serializers.BooleanField()
    outcome = serializers.CharField()
    usage_source = serializers.CharField()
    billed = serializers.BooleanField()
    usage = serializers.SerializerMethodField(help_text="Tokens by unit; a unit that nobody reported is absent.")
    upstream_status = serializers.IntegerField(allow_null=True)
    first_byte_us = serializers.IntegerField(allow_null=True)
    duration_us = serializers.IntegerField()
    upstream_usage = serializers.JSONField(allow_null=True)
    grade = serializers.CharField(help_text="That the answer got; empty: not certified.")
    service_tier = serializers.CharField()
    sign = serializers.IntegerField(help_text="-1: takes away what the event that it corrects has counted.")
    corrects = serializers.UUIDField(allow_null=True, help_text="The event that this row corrects.")
    source = serializers.CharField(  # type: ignore[assignment]  # DRF takes fields off the class.
        allow_null=True, help_text="Who counted it, where that was not a gateway of ours."
    )
    external_id = serializers.CharField(allow_null=True, help_text="Its id there.")

    def get_usage(self, event: Event) -> dict[str, int]:
        counts = {str(unit): getattr(event, unit) for unit in REPORTED_UNITS}
        return {unit: count for unit, count in counts.items() if count is not None}


def asked_tenants(request: Request, slug: str | None) -> set[int] | None:
    """The tenants that the caller may see, narrowed to one; None means all. Others' slugs look like unknown ones."""
    visible = visible_tenant_ids(request.user)
    if slug is None:
        return visible
    found = Tenant.objects.filter(slug=slug).values_list("id", flat=True).first()
    if found is None or (visible is not None and found not in visible):
        raise NotFound("There is no such tenant, or it is not yours.")
    return {found}


class NewestFirst(CursorPagination):
    ordering = ("-occurred_at", "-id")


class EventsView(ListAPIView[Event]):
    """The events behind the usage, newest first."""

    table = Event

    serializer_class = EventSerializer
    pagination_class = NewestFirst

    @extend_schema(parameters=[Timespan])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Event]:
        if getattr(self, "swagger_fake_view", False):
            return Event.objects.none()
        query = Timespan(data=self.request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        tenants = asked_tenants(self.request, asked.get("tenant"))
        bounds = {"occurred_at__gte": asked.get("from"), "occurred_at__lt": asked.get("to"), "tenant_id__in": tenants}
        found = Event.objects.filter(**{name: value for name, value in bounds.items() if value is not None})
        held = Batch.objects.filter(held=True, folded_at=None)  # Of backfills that count nowhere yet, or never.
        return found.exclude(batch_id__in=held.values("id"))
