"""The office API for usage that was counted elsewhere."""

from typing import Any

from django.conf import settings
from django.urls import path
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from metering.ingest import Receipt, ingest
from metering.ingest_caller import SaysWhy, reporter_of
from metering.ingest_errors import EventsRefused
from metering.ingest_formats import compression, flat, reading
from metering.ingest_formats.reported import (
    BadEvent,
    Reading,
    Refusal,
    ReportedUsage,
    Statement,
    UnknownFormat,
    reported,
)

CORRECTIONS = "corrections"  # The source of voids that name none.

TENANT = OpenApiParameter("tenant", description="Whose usage it is, by slug. Only the operator's staff names it.")
BACKFILL = OpenApiParameter("backfill", description="The open backfill that holds these events until it is committed.")
SOURCE = OpenApiParameter("source", description="The source of the event; it is not needed with our own id.")
BODY = dict.fromkeys((*reading.FORMATS, reading.OTLP), OpenApiTypes.OBJECT)


class ReceiptSerializer(serializers.Serializer[Receipt]):
    """What became of the call; it is given after the commit."""

    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField(help_text="Events that were taken before, with the same content.")
    skipped = serializers.IntegerField(help_text="Spans that are no calls, or that our own gateway counted.")


class RefusalSerializer(serializers.Serializer[Refusal]):
    """Why one event was refused; nothing of its call was stored."""

    index = serializers.IntegerField(help_text="Its place in the call, from 0.")
    id = serializers.CharField(allow_null=True)
    field = serializers.CharField()
    reason = serializers.CharField()


class RefusedSerializer(serializers.Serializer[Any]):
    """Why a call was refused."""

    detail = serializers.CharField()
    errors = RefusalSerializer(many=True, required=False)  # type: ignore[assignment]  # DRF takes it off the class.
    error_count = serializers.IntegerField(required=False)


ANSWERS = {200: ReceiptSerializer, **dict.fromkeys((400, 404, 409, 413, 415), RefusedSerializer)}


class UsageEventsView(SaysWhy):
    """Report usage: CloudEvents 1.0, NDJSON or OpenTelemetry's traces. All of a call is stored, or nothing."""

    @extend_schema(parameters=[TENANT, BACKFILL], request=BODY, responses=ANSWERS, operation_id="report_usage")
    def post(self, request: Request) -> Response:
        reporter = reporter_of(request)
        read = reading.read(
            _body(request),
            request.content_type or "",
            dict(request.headers),
            tenant=reporter.tenant_slug,
            events_max=settings.TOKENWORKS_INGEST_EVENTS_MAX,
        )
        receipt = ingest(reporter, read, now=timezone.now(), backfill_name=request.query_params.get("backfill"))
        return Response(ReceiptSerializer(receipt).data)


class VoidView(SaysWhy):
    """Take an event back, by its source and id or by our own id. To do it again changes nothing."""

    @extend_schema(parameters=[TENANT, SOURCE], request=None, responses=ANSWERS)
    def post(self, request: Request, event_id: str) -> Response:
        reporter = reporter_of(request)
        source = request.query_params.get("source", CORRECTIONS)
        statement = Statement(voids=event_id)
        said = _or_refused(lambda: reported(source, f"void/{event_id}", None, statement, tenant=reporter.tenant_slug))
        return _corrected(request, said)


class AmendView(SaysWhy):
    """Say what is right instead of an event. The body is a flat event with an id of its own and the source."""

    @extend_schema(parameters=[TENANT], request=OpenApiTypes.OBJECT, responses=ANSWERS)
    def post(self, request: Request, event_id: str) -> Response:
        reporter = reporter_of(request)
        if (request.content_type or "").partition(";")[0].strip().lower() != "application/json":
            raise UnknownFormat("An amendment is application/json.")
        body = _body(request)
        return _corrected(request, _or_refused(lambda: flat.amendment(body, reporter.tenant_slug, event_id)))


def _corrected(request: Request, said: ReportedUsage) -> Response:
    receipt = ingest(reporter_of(request), Reading(events=[(0, said)]), now=timezone.now())
    return Response(ReceiptSerializer(receipt).data)


def _or_refused(read: Any) -> ReportedUsage:
    try:
        said: ReportedUsage = read()
    except BadEvent as problem:
        raise EventsRefused([Refusal(0, None, problem.field, problem.reason)]) from problem
    return said


def _body(request: Request) -> bytes:
    """The body, unpacked. Raises TooManyEvents, UnknownFormat and Malformed."""
    bytes_max = settings.TOKENWORKS_INGEST_BODY_BYTES_MAX
    body: bytes = request._request.read(bytes_max + 1)
    return compression.plain(body, request.headers.get("content-encoding", "identity").lower(), bytes_max)


urlpatterns = [
    path("usage-events/", UsageEventsView.as_view(), name="usage-events"),
    path("usage-events/<path:event_id>/void/", VoidView.as_view(), name="usage-event-void"),
    path("usage-events/<path:event_id>/amend/", AmendView.as_view(), name="usage-event-amend"),
]
